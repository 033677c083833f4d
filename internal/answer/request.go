package answer

import (
	"context"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
)

// ReadJSON returns the body of a request. The body must be uncompressed JSON in UTF-8 of at
// most max bytes. The error is a *Problem for the caller.
func ReadJSON(r *http.Request, max int64) ([]byte, error) {
	if err := isJSON(r.Header); err != nil {
		return nil, err
	}
	if r.ContentLength > max {
		return nil, tooLarge
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, max+1))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded):
		return nil, New(408, Timeout, "The body did not arrive in time.")
	case err != nil:
		return nil, New(400, InvalidRequest, "The body ended early.")
	case int64(len(body)) > max:
		return nil, tooLarge
	case len(body) == 0:
		return nil, New(400, InvalidJSON, "The body is empty.")
	}
	return body, nil
}

var (
	tooLarge = New(413, TooLarge, "The body is too large.")
	notJSON  = New(415, UnsupportedMedia, "Send application/json in UTF-8, uncompressed.")
)

func isJSON(h http.Header) error {
	types := h.Values("Content-Type")
	if h.Get("Content-Encoding") != "" || len(types) != 1 {
		return notJSON
	}
	if types[0] == "application/json" { // as Ory sends it
		return nil
	}
	kind, params, err := mime.ParseMediaType(types[0])
	if err != nil || kind != "application/json" {
		return notJSON
	}
	for name, value := range params {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return notJSON
		}
	}
	return nil
}

// Method handles one method (GET includes HEAD) and answers the others with 405 and Allow.
func Method(method string, next http.HandlerFunc) http.HandlerFunc {
	return Methods(map[string]http.Handler{method: next})
}

// Methods handles each method of one path (GET includes HEAD) and answers the others with
// 405 and Allow.
func Methods(handlers map[string]http.Handler) http.HandlerFunc {
	names := slices.Sorted(maps.Keys(handlers))
	return func(w http.ResponseWriter, r *http.Request) {
		next := handlers[r.Method]
		if next == nil && r.Method == http.MethodHead {
			next = handlers[http.MethodGet]
		}
		if next != nil {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Allow", strings.Join(names, ", "))
		Write(w, New(405, MethodNotAllowed, "Use "+strings.Join(names, " or ")+"."))
	}
}
