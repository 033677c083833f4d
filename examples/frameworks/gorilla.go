package frameworks

import (
	"net/http"

	"github.com/gorilla/mux"

	"github.com/symbolon-id/symbolon/session"
)

// Gorilla uses the middleware unchanged: RequireWith for one route, Require for a
// subrouter.
func Gorilla(a App) http.Handler {
	r := mux.NewRouter()
	r.Handle("/delete", a.Auth.RequireWith(session.AAL2)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.note(r.Context(), w, "all")
	}))).Methods(http.MethodPost)

	notes := r.PathPrefix("/notes").Subrouter()
	notes.Use(a.Auth.Require)
	notes.HandleFunc("/{id}", func(w http.ResponseWriter, r *http.Request) {
		a.note(r.Context(), w, mux.Vars(r)["id"])
	}).Methods(http.MethodGet)
	return r
}
