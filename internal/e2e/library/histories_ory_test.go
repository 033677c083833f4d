package library

import (
	"strings"

	"pgregory.net/rapid"
)

// Operations of people and administrators at Ory.

func changeAddress(h *history) bool {
	p := h.somebody(signsIn)
	if p == nil {
		return false
	}
	p.email = h.name("mail") + "@example.org"
	name := h.name("name")
	h.known(p.email, p, nil)
	h.known(name, p, nil)
	h.note("%s to %s", p.name, p.email)
	h.withHook("sync", h.fate("sync"), p, func() error {
		return h.ory.ChangeTraits(h.ctx(), p.token, map[string]any{"email": p.email, "name": name})
	})
	return true
}

func patchAddress(h *history) bool {
	p := h.somebody(atOry)
	if p == nil {
		return false
	}
	h.patchAddress(p, h.name("mail")+"@example.org")
	h.note("%s to %s", p.name, p.email)
	return true
}

func (h *history) patchAddress(p *person, email string) {
	p.email = email
	h.known(email, p, nil)
	h.patch(p, "/traits/email", email)
	h.look(p)
}

// look reads at Ory whether the address is verified.
func (h *history) look(p *person) {
	at, err := h.client.Identity(h.ctx(), p.id)
	h.must(err)
	p.verified = at.Verified()
}

func (h *history) patch(p *person, path string, value any) {
	h.must(h.ory.PatchIdentity(h.ctx(), string(p.id), []map[string]any{{"op": "replace", "path": path, "value": value}}))
}

// swap rotates the addresses of two or three people. The hooks of some of them arrive.
func swap(h *history) bool {
	var all []*person
	for _, p := range h.truth.people[1:] {
		if p.atOry {
			all = append(all, p)
		}
	}
	if len(all) < 2 {
		return false
	}
	some := rapid.Permutation(all).Draw(h.T, "people")[:min(len(all), rapid.IntRange(2, 3).Draw(h.T, "number"))]
	var emails, names []string
	for _, p := range some {
		emails, names = append(emails, p.email), append(names, p.name)
		h.patchAddress(p, h.name("between")+"@example.org") // Ory lets nobody have an address twice
	}
	for i, p := range some {
		h.patchAddress(p, emails[(i+1)%len(some)])
	}
	h.note("%s", strings.Join(names, ", "))
	for _, p := range some {
		if rapid.Bool().Draw(h.T, "hint") {
			h.note("a hint about %s", p.name)
			h.hear(hint("sync", p))
		}
	}
	return true
}

func rename(h *history) bool {
	p := h.somebody(atOry)
	if p == nil {
		return false
	}
	name := h.name("name")
	h.known(name, p, nil)
	h.note("%s", p.name)
	h.patch(p, "/traits/name", name)
	return true
}

func verify(h *history) bool {
	p := h.somebody(atOry)
	if p == nil {
		return false
	}
	h.note("%s", p.name)
	h.withHook("sync", h.fate("sync"), p, func() error { return h.ory.Verify(h.ctx(), string(p.id)) })
	return true
}

func deletesIdentity(h *history) bool {
	p := h.somebody(atOry)
	if p == nil {
		return false
	}
	h.must(h.ory.DeleteIdentity(h.ctx(), string(p.id)))
	p.atOry = false
	h.note("%s", p.name)
	return true
}

func bans(h *history) bool { return h.setState(true) }

func unbans(h *history) bool { return h.setState(false) }

// setState bans or lifts a ban. Ory calls no hook, but a hint may come all the same.
func (h *history) setState(ban bool) bool {
	p := h.somebody(func(p *person) bool { return p.atOry && p.active == ban })
	if p == nil {
		return false
	}
	p.active = !ban
	h.patch(p, "/state", map[bool]string{true: "inactive", false: "active"}[ban])
	h.note("%s", p.name)
	if rapid.Bool().Draw(h.T, "hint") {
		h.note("and a hint")
		h.hear(hint("sync", p))
	}
	return true
}
