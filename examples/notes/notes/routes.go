package notes

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/symbolon-id/symbolon/examples/notes/flowui"
)

// routes returns all routes of the application.
func (a *App) routes() http.Handler {
	auth, mux := a.auth, http.NewServeMux()

	// For users. Handlers get the user from symbolon.UserFrom(r.Context()).
	mux.Handle("GET /notes", auth.Require(http.HandlerFunc(a.listNotes)))
	mux.Handle("POST /notes", auth.Require(http.HandlerFunc(a.addNote)))
	mux.Handle("POST /notes/{id}/delete", auth.Require(http.HandlerFunc(a.deleteNote)))

	// Ory's flows, at the paths that its ui_url settings name.
	mux.Handle("GET /registration", auth.Optional(a.flow(flowui.Registration)))
	mux.Handle("GET /login", auth.Optional(a.flow(flowui.Login)))
	mux.Handle("GET /settings", auth.Require(a.flow(flowui.Settings)))
	mux.Handle("GET /recovery", a.flow(flowui.Recovery))
	mux.Handle("GET /verification", auth.Optional(a.flow(flowui.Verification)))
	mux.Handle("GET /error", a.anyone(a.oryProblem))
	mux.Handle("POST /logout", a.anyone(a.logout))

	// Ory's hooks, each with its own key. They are optional.
	if a.hooks != nil {
		a.hooks.Mount(mux)
	}

	mux.Handle("GET /{$}", a.anyone(a.home))
	mux.HandleFunc("GET /static/{file}", a.serveStatic)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.Handle("/", a.anyone(a.nothingHere))

	return a.logged(a.safely(mux))
}

// maxForm limits the size of our forms.
const maxForm = 64 << 10

// safely wraps every answer: it adds headers that protect the page, limits bodies, and refuses POSTs from other sites.
func (a *App) safely(next http.Handler) http.Handler {
	// Refuses a POST that the browser marks as coming from another site or port (Sec-Fetch-Site, else Origin). So no token is needed.
	sameOrigin := http.NewCrossOriginProtection()
	sameOrigin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.problem(w, r, problem{Status: http.StatusForbidden, Title: "That came from another site",
			Text: "The form was not sent from a page of ours, so nothing was done. If it was you, go back and send it again."})
	}))
	next = http.MaxBytesHandler(sameOrigin.Handler(next), maxForm)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", a.policy(false))
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "strict-origin-when-cross-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// policy returns the Content-Security-Policy. Forms may lead to Ory. Only pages with passkeys may load Ory's script.
func (a *App) policy(oryScript bool) string {
	ory := origin(a.Ory)
	p := "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' " + ory
	for _, more := range a.FormAction {
		p += " " + origin(more)
	}
	if oryScript {
		p += "; script-src 'self' " + ory
	}
	return p
}

func origin(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// logged logs one line for each request, without its query, because flow IDs and tokens must not be logged.
func (a *App) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			if p := recover(); p != nil {
				if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					panic(p)
				}
				a.Log.LogAttrs(r.Context(), slog.LevelError, "panic", slog.Any("panic", p), slog.String("path", r.URL.Path))
				a.problem(seen, r, broken)
			}
			a.Log.LogAttrs(r.Context(), slog.LevelInfo, "request", slog.String("method", r.Method), slog.String("path", r.URL.Path),
				slog.Int("status", seen.status), slog.Duration("took", time.Since(start)))
		}()
		next.ServeHTTP(seen, r)
	})
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap gives http.ResponseController the wrapped writer.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (a *App) serveStatic(w http.ResponseWriter, r *http.Request) {
	file := r.PathValue("file")
	if file == "flowui.js" {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		_, _ = w.Write(flowui.Script)
		return
	}
	if r.URL.Query().Get("v") == a.style {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeFileFS(w, r, static, "static/"+file)
}
