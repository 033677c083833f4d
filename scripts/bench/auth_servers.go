package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// serve runs a child that answers over HTTP.
func (t task) serve(ctx context.Context) error {
	h, err := t.handler(ctx)
	if err != nil {
		return err
	}
	socket, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	defer srv.Close()
	go func() { _ = srv.Serve(socket) }() // the client notices an error
	return announce(socket.Addr().String())
}

func (t task) handler(ctx context.Context) (http.Handler, error) {
	switch t.Role {
	case "plain":
		return plain(t.Answer), nil
	case "naive":
		return newNaive(ctx, t.Public, t.DSN)
	}
	return newQuick(t.People)
}

// plain sends constant headers to everybody. A net/http server cannot do less.
func plain(headers map[string]string) http.Handler {
	type header struct{ name, value string }
	var all []header
	for name, value := range headers {
		all = append(all, header{name, value})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		for _, one := range all {
			h.Set(one.name, one.value)
		}
		w.WriteHeader(http.StatusOK)
	})
}

// naive is a good solution without a cache: it asks whoami and reads the user's row. It
// keeps connections open, prepares the statement once per connection, and decodes only
// the needed fields.
type naive struct {
	client *http.Client
	whoami string
	db     *pgxpool.Pool
}

func newNaive(ctx context.Context, ory, dsn string) (http.Handler, error) {
	config, err := pgxpool.ParseConfig(dsn) // statements are prepared and cached by default
	if err != nil {
		return nil, err
	}
	config.MaxConns, config.MinConns = 16, 4
	db, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{MaxIdleConns: 256, MaxIdleConnsPerHost: 256, IdleConnTimeout: 90 * time.Second, DisableCompression: true}
	return &naive{&http.Client{Transport: transport, Timeout: 5 * time.Second}, ory + "/sessions/whoami", db}, nil
}

func (n *naive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var session struct {
		ID       string
		Active   bool
		AAL      string `json:"authenticator_assurance_level"`
		Identity struct {
			ID        string
			Addresses []struct {
				Value    string
				Verified bool
			} `json:"verifiable_addresses"`
		}
	}
	status, err := n.ask(r, &session)
	if err != nil || status != http.StatusOK || !session.Active {
		http.Error(w, fmt.Sprint("whoami: ", status, err), http.StatusUnauthorized)
		return
	}
	var user string
	if err := n.db.QueryRow(r.Context(), `select id from users where identity_id = $1`, session.Identity.ID).Scan(&user); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	email := ""
	for _, a := range session.Identity.Addresses {
		if a.Verified {
			email = a.Value
			break
		}
	}
	h := w.Header()
	h.Set("X-User-Id", user)
	h.Set("X-Identity-Id", session.Identity.ID)
	h.Set("X-Session-Id", session.ID)
	h.Set("X-Auth-Aal", session.AAL)
	h.Set("X-Auth-Email", email)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
}

func (n *naive) ask(r *http.Request, into any) (status int, err error) {
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, n.whoami, nil)
	if err != nil {
		return 0, err
	}
	for _, name := range [...]string{"Cookie", "X-Session-Token"} {
		if values := r.Header[name]; len(values) > 0 {
			req.Header[name] = values
		}
	}
	resp, err := n.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, json.Unmarshal(body, into)
}

// quick is an Ory that answers from memory with Kratos' earlier answers. So the figures
// do not hide our own cost behind Ory's.
type quick map[string]json.RawMessage

func newQuick(file string) (http.Handler, error) {
	people, err := readPeople(file)
	if err != nil {
		return nil, err
	}
	q := quick{}
	for _, p := range people {
		q[p.Token] = p.Whoami
	}
	return q, nil
}

func (q quick) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, ok := q[r.Header.Get("X-Session-Token")]
	if !ok || r.URL.Path != "/sessions/whoami" {
		http.Error(w, "quick knows whoami only", http.StatusTeapot)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(answer)
}
