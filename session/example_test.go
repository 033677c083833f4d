package session_test

import (
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// A handler behind Require has a user. The handler that deletes the account also requires
// a second factor and a recent sign-in.
func Example() {
	var db *sql.DB // the application's database

	store := &sqlstore.Store{DB: db, Dialect: sqlstore.Postgres}
	linker := &link.Linker{Ory: &ory.Client{PublicURL: "http://127.0.0.1:4433"}, Store: store}
	auth := &session.Verifier{Linker: linker}

	notes := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, _ := symbolon.UserFrom(r.Context())
		_, _ = io.WriteString(w, "the notes of user "+string(u.ID))
	})
	mux := http.NewServeMux()
	mux.Handle("/notes", auth.Require(notes))
	mux.Handle("DELETE /account", auth.RequireWith(session.AAL2, session.Fresh(15*time.Minute))(notes))

	// A request without a session is refused without a question to Ory or the database.
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/notes", nil))
	fmt.Print(w.Code, " ", w.Body)

	// A test of the handler needs neither Ory nor a database.
	w = httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/notes", nil)
	notes.ServeHTTP(w, r.WithContext(symbolon.WithUser(r.Context(), symbolon.User{ID: "42"})))
	fmt.Println(w.Code, w.Body)

	// Output:
	// 401 {"error":{"code":"unauthenticated","message":"Sign in first."}}
	// 200 the notes of user 42
}
