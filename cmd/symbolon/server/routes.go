package server

import (
	"net/http"

	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/internal/answer"
)

// Public is the side for Ory, proxies and applications. Paths match byte for byte. A route
// without a method accepts the methods that its handler accepts.
func (p *Server) Public() http.Handler {
	return p.router("public", []route{
		{"", "/hooks/reserve", p.hooks.Reserve()}, // Ory calls the hooks. Each hook has a key of its own
		{"", "/hooks/link", p.hooks.Link()},
		{"", "/hooks/sync", p.hooks.Sync()},
		{"", "/auth", p.forwardAuth}, // any method, because proxies pass on the client's method
		{"", "/auth/optional", p.forwardAuth},
		{"", "/auth/aal2", p.forwardAuth},
		{"", "/auth/...", p.forwardAuth}, // /auth/p/NAME; another path gets 404 with empty user headers
		{"", "/hydrate", p.hydrate},      // Oathkeeper
		{"", "/.well-known/jwks.json", p.forwardAuth.Signer.JWKS()},
		{"", "/me", p.verifier.Me()},
		{"GET", "/healthz", http.HandlerFunc(healthz)},
		{"GET", "/readyz", http.HandlerFunc(p.readyz)},
	})
}

// Operator is the operator's side. Every route requires the operator's key. If no key is
// configured, only programs on this machine may use the routes.
func (p *Server) Operator() http.Handler {
	people := &people{store: p.Store, project: p.Config.Ory.Project, linker: p.Linker, erasures: p.Erasures(), verifier: p.verifier, backReference: p.Config.BackReferenceKey(),
		reserves: system.Actions(p.Config).Reserves()}
	erasures := &erasures{Erasures: p.Erasures(), people: people, log: p.log}
	findings := &findings{store: p.Store, project: p.Config.Ory.Project, cursors: newCursors(p.Config.Secrets()), repairs: p.repairs, notAdopted: p.NotAdopted}
	admin := func(do operation) http.Handler { return adminHandler(do, p.log) }
	return operatorOnly(p.Config.Serve.AdminKey, p.router("operator", []route{
		{"GET", "/admin/users/{id}", admin(people.user)},
		{"DELETE", "/admin/users/{id}", admin(erasures.eraseUser)},
		{"POST", "/admin/users/{id}/refresh", admin(people.refresh)},
		{"POST", "/admin/users/{id}/invite", admin(people.invite)},
		{"GET", "/admin/identities/{id}", admin(onIdentity(people.identity))},
		{"DELETE", "/admin/identities/{id}", admin(onIdentity(erasures.eraseIdentity))},
		{"POST", "/admin/identities/{id}/sync", admin(onIdentity(people.sync))},
		{"DELETE", "/admin/identities/{id}/sessions", admin(onIdentity(people.revokeAll))},
		{"DELETE", "/admin/sessions/{id}", admin(people.revoke)},
		{"POST", "/admin/links", admin(people.bind)},
		{"DELETE", "/admin/links/{id}", admin(onIdentity(people.unlink))},
		{"POST", "/admin/merges", admin(people.merge)},
		{"DELETE", "/admin/merges/{id}", admin(people.unmerge)},
		{"POST", "/admin/reconcile", admin(p.repairs.start)},
		{"GET", "/admin/reconcile/{id}", admin(p.repairs.show)},
		{"GET", "/admin/findings", admin(findings.list)},
		{"POST", "/admin/findings/{id}/repair", admin(findings.repair)},
		{"GET", "/admin/erasures/{id}", admin(erasures.erasure)},
		{"GET", "/metrics", p.metrics.handler()},
		{"GET", "/healthz", http.HandlerFunc(healthz)},
	}))
}

func (p *Server) router(side string, routes []route) http.Handler {
	o := &observer{listener: side, log: p.log, metrics: p.metrics}
	return newRouter(routes, func(pattern string, next http.Handler) http.Handler {
		return o.wrap(pattern, p.startup.gate(pattern, next))
	})
}

// healthz says that the process answers.
func healthz(w http.ResponseWriter, _ *http.Request) {
	answer.JSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// readyz says that the database is in use and that the server is not stopping. A later outage
// of Ory or of the database does not show here, because Ory must still reach the reserve hook.
func (p *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	switch {
	case p.listeners.draining.Load():
		answer.Write(w, answer.New(503, answer.Unavailable, "The server is draining: it stops soon."))
		return
	case !p.startup.done.Load():
		answer.Write(w, p.startup.notReady())
		return
	}
	answer.JSON(w, http.StatusOK, map[string]string{"status": "ready"})
}
