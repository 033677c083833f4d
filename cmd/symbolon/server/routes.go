package server

import (
	"net/http"

	"github.com/symbolon-id/symbolon/internal/answer"
)

// Public is what Ory, proxies and applications reach. Paths match byte for byte;
// a route without a method says itself what it takes.
func (p *Server) Public() http.Handler {
	return p.router("public", []route{
		{"", "/hooks/reserve", p.hooks.Reserve()}, // Ory Actions; a key each
		{"", "/hooks/link", p.hooks.Link()},
		{"", "/hooks/sync", p.hooks.Sync()},
		{"", "/auth", p.forwardAuth}, // any method: proxies pass on the client's
		{"", "/auth/optional", p.forwardAuth},
		{"", "/auth/aal2", p.forwardAuth},
		{"", "/auth/...", p.forwardAuth}, // /auth/p/NAME, and 404 with all headers
		{"", "/hydrate", p.hydrate},      // Oathkeeper
		{"", "/.well-known/jwks.json", p.forwardAuth.Signer.JWKS()},
		{"", "/me", p.verifier.Me()},
		{"GET", "/healthz", http.HandlerFunc(healthz)},
		{"GET", "/readyz", http.HandlerFunc(p.readyz)},
	})
}

// Operator is the operator's side, all of it behind the key or the loopback
// interface.
func (p *Server) Operator() http.Handler {
	api := &adminAPI{linker: p.Linker, verifier: p.verifier, erasures: p.Erasures(), key: p.Config.BackReferenceKey(), log: p.log}
	differences := &findingsAPI{store: p.Store, project: p.Config.Ory.Project, cursors: newCursors(p.Config.Secrets()), repairs: p.repairs, log: p.log}
	return operatorOnly(p.Config.Serve.AdminKey, p.router("operator", []route{
		{"GET", "/admin/users/{id}", http.HandlerFunc(api.user)},
		{"DELETE", "/admin/users/{id}", http.HandlerFunc(api.eraseUser)},
		{"GET", "/admin/identities/{id}", http.HandlerFunc(api.identity)},
		{"DELETE", "/admin/identities/{id}", http.HandlerFunc(api.eraseIdentity)},
		{"POST", "/admin/identities/{id}/sync", http.HandlerFunc(api.sync)},
		{"DELETE", "/admin/identities/{id}/sessions", http.HandlerFunc(api.revokeAll)},
		{"DELETE", "/admin/sessions/{id}", http.HandlerFunc(api.revoke)},
		{"POST", "/admin/links", http.HandlerFunc(api.bind)},
		{"POST", "/admin/reconcile", http.HandlerFunc(p.repairs.start)},
		{"GET", "/admin/reconcile/{id}", http.HandlerFunc(p.repairs.show)},
		{"GET", "/admin/findings", http.HandlerFunc(differences.list)},
		{"POST", "/admin/findings/{id}/repair", http.HandlerFunc(differences.repair)},
		{"GET", "/admin/erasures/{id}", http.HandlerFunc(api.erasure)},
		{"GET", "/metrics", p.metrics.handler()},
		{"GET", "/healthz", http.HandlerFunc(healthz)},
	}))
}

func (p *Server) router(side string, routes []route) http.Handler {
	o := &observer{listener: side, log: p.log, metrics: p.metrics}
	return newRouter(routes, o.wrap)
}

// healthz says that the process answers. It decides nothing.
func healthz(w http.ResponseWriter, _ *http.Request) {
	answer.JSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// readyz says that the server has started, with migrations that were current, and
// is not stopping. An outage of Ory or of the database does not show here: reserve
// must stay reachable.
func (p *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	if p.listeners.draining.Load() {
		answer.Write(w, answer.New(503, answer.Unavailable, "The server is stopping."))
		return
	}
	answer.JSON(w, http.StatusOK, map[string]string{"status": "ready"})
}
