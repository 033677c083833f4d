package frameworks

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/symbolon-id/symbolon/session"
)

// Chi uses the middleware unchanged: Require for all routes, RequireWith for one.
func Chi(a App) http.Handler {
	r := chi.NewRouter()
	r.Use(a.Auth.Require)
	r.Get("/notes/{id}", func(w http.ResponseWriter, r *http.Request) {
		a.note(r.Context(), w, chi.URLParam(r, "id"))
	})
	r.With(a.Auth.RequireWith(session.AAL2)).Post("/delete", func(w http.ResponseWriter, r *http.Request) {
		a.note(r.Context(), w, "all")
	})
	return r
}
