package frameworks

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/symbolon-id/symbolon/session"
)

// Chi takes the middleware as it is.
func Chi(a App) http.Handler {
	require := func(policies ...session.Policy) func(http.Handler) http.Handler {
		return func(next http.Handler) http.Handler { return a.Auth.Require(next, policies...) }
	}
	r := chi.NewRouter()
	r.With(require()).Get("/notes/{id}", func(w http.ResponseWriter, r *http.Request) {
		a.note(r.Context(), w, chi.URLParam(r, "id"))
	})
	r.With(require(session.AAL2)).Post("/delete", func(w http.ResponseWriter, r *http.Request) {
		a.note(r.Context(), w, "all")
	})
	return r
}
