package fakeory

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
)

// The addresses of a fake in memory.
const (
	memoryPublic = "http://kratos:4433"
	memoryAdmin  = "http://kratos:4434"
)

// RoundTrip answers a request to PublicURL or AdminURL in the caller's goroutine and
// without a socket, also if the fake has ports. Faults work as on a port: a dropped
// connection is an error, and a cut body ends with [io.ErrUnexpectedEOF].
func (o *Ory) RoundTrip(r *http.Request) (*http.Response, error) {
	switch origin := r.URL.Scheme + "://" + r.URL.Host; origin {
	case o.PublicURL:
		return roundTrip(o.publicHandler, r)
	case o.AdminURL:
		return roundTrip(o.adminHandler, r)
	default:
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, fmt.Errorf("fakeory: %s is neither %s nor %s", origin, o.PublicURL, o.AdminURL)
	}
}

// Transport returns a transport that calls a handler in the caller's goroutine, without a
// socket. As [Config].HookTransport it sends the webhooks to an application in the same
// test.
func Transport(h http.Handler) http.RoundTripper { return transport{h} }

type transport struct{ handler http.Handler }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return roundTrip(t.handler, r) }

// roundTrip returns the response that a client would get from the handler.
func roundTrip(h http.Handler, r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer func() { _ = r.Body.Close() }()
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	received, err := asReceived(r)
	if err != nil {
		return nil, err
	}
	recorded := httptest.NewRecorder()
	aborted := serve(h, recorded, received)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if aborted && !recorded.Flushed {
		return nil, io.EOF // net/http returns EOF if a connection ends before the answer
	}
	response := recorded.Result()
	response.Request = r
	if r.Method == http.MethodHead {
		response.Body = http.NoBody
	} else if aborted {
		response.Body = io.NopCloser(io.MultiReader(response.Body, cut{}))
	}
	return response, nil
}

// asReceived converts a client's request into a request as a server receives it.
func asReceived(r *http.Request) (*http.Request, error) {
	target := r.URL.RequestURI()
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return nil, err
	}
	received := r.Clone(r.Context())
	received.URL, received.RequestURI, received.RemoteAddr = u, target, "127.0.0.1:4455"
	if received.Host == "" {
		received.Host = r.URL.Host
	}
	if received.Body == nil {
		received.Body = http.NoBody
	}
	if _, ok := received.Header["User-Agent"]; !ok {
		received.Header.Set("User-Agent", "Go-http-client/1.1")
	}
	return received, nil
}

// serve reports whether the handler broke the connection.
func serve(h http.Handler, w http.ResponseWriter, r *http.Request) (aborted bool) {
	defer func() {
		if v := recover(); v == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
			aborted = true
		} else if v != nil {
			panic(v)
		}
	}()
	h.ServeHTTP(w, r)
	return false
}

// cut is the rest of a body that is shorter than its Content-Length.
type cut struct{}

func (cut) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
