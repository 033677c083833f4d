package symbolon

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// memory is a Store in a few maps: the contract of Store in its shortest form, so
// that the property test can run a hundred thousand steps. The application's users
// table is rows.
type memory struct {
	mu      sync.Mutex
	newID   NewID
	ticket  Ticket
	links   map[IdentityID]Link
	rows    map[UserID]IdentityID
	retired map[UserID]bool
	open    map[IdentityID][]Finding
	events  []Event
	serial  int
	down    bool
}

func newMemory(newID NewID) *memory {
	return &memory{newID: newID, links: map[IdentityID]Link{}, rows: map[UserID]IdentityID{},
		retired: map[UserID]bool{}, open: map[IdentityID][]Finding{}}
}

func (m *memory) NewID() NewID { return m.newID }

func (m *memory) Ticket(context.Context) (Ticket, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return 0, ErrUnavailable
	}
	m.ticket++
	return m.ticket, nil
}

func (m *memory) Look(_ context.Context, q Query) (Held, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return Held{}, ErrUnavailable
	}
	return m.held(q), nil
}

func (m *memory) held(q Query) Held {
	id := q.Seen.Identity.ID
	h := Held{Users: len(m.links)}
	if l, ok := m.links[id]; ok {
		h.Link = &l
		if _, ok := m.rows[l.User]; ok {
			h.User = m.row(l.User)
		}
	}
	for user, identity := range m.rows {
		if identity == id {
			h.Row = m.row(user)
		}
	}
	for _, user := range q.Claims {
		c := Claimed{Retired: m.retired[user], Linked: m.linkedTo(user)}
		if _, ok := m.rows[user]; ok && user != "" {
			c.Row = m.row(user)
		}
		h.Claims = append(h.Claims, c)
	}
	for _, e := range m.events {
		if e.Kind == ClaimRefused {
			h.Conflicts++
		}
	}
	return h
}

func (m *memory) row(user UserID) *Row {
	return &Row{ID: user, Identity: m.rows[user], Linked: m.linkedTo(user)}
}

func (m *memory) linkedTo(user UserID) IdentityID {
	for id, l := range m.links {
		if l.User == user && l.State == Linked && user != "" {
			return id
		}
	}
	return ""
}

func (m *memory) Write(_ context.Context, q Query, decide func(Held) (Plan, error)) (Outcome, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return Outcome{}, ErrUnavailable
	}
	plan, err := decide(m.held(q))
	if err != nil {
		return Outcome{}, err
	}
	out := Outcome{Plan: plan}
	id := q.Seen.Identity.ID
	before := m.links[id]
	l := before
	l.Identity, l.Ticket = id, max(l.Ticket, q.Seen.Ticket)
	switch plan.Action {
	case Create:
		user := plan.User
		if user == "" {
			m.serial++
			user = UserID(fmt.Sprint(m.serial))
		}
		if _, taken := m.rows[user]; taken || m.retired[user] {
			return Outcome{}, fmt.Errorf("the plan creates user %s twice: %w", user, ErrConflict)
		}
		if plan.Retire != "" {
			m.retired[plan.Retire] = true
		}
		m.rows[user] = id
		l.User, l.State, l.Reason, out.New = user, Linked, "", true
	case Attach:
		if plan.Release != "" {
			other := m.links[plan.Release]
			other.Identity, other.State, other.Reason = plan.Release, OnHold, Moved
			m.links[plan.Release] = other
		}
		if before.User != "" && m.rows[before.User] == id {
			m.rows[before.User] = ""
		}
		out.New = before.State != Linked || before.User != plan.User
		m.rows[plan.User] = id
		l.User, l.State, l.Reason = plan.User, Linked, ""
	case Bury:
		if plan.Retire != "" {
			m.retired[plan.Retire] = true
		}
		if plan.Row == DeleteRow {
			delete(m.rows, plan.User)
		}
		l.User, l.State, l.Reason = plan.User, plan.State, ""
	case Hold:
		l.State, l.Reason = OnHold, plan.Reason
	case Keep, Deny:
		out.Link, out.Opened = before, m.find(id, plan)
		return out, nil
	}
	if plan.BackReference != "" {
		l.BackReference = plan.BackReference
	}
	if plan.Conflict {
		m.events = append(m.events, Event{Kind: ClaimRefused, Identity: id})
	}
	if out.New {
		m.events = append(m.events, Event{Kind: UserLinked, Identity: id, User: l.User, Before: before.User})
	}
	m.links[id] = l
	out.Link, out.Opened = l, m.find(id, plan)
	return out, nil
}

func (m *memory) find(id IdentityID, plan Plan) (opened []Finding) {
	for _, f := range plan.Findings {
		if !slices.ContainsFunc(m.open[id], func(o Finding) bool { return o.Kind == f.Kind }) {
			m.open[id] = append(m.open[id], f)
			opened = append(opened, f)
		}
	}
	return opened
}

func (m *memory) Forget(_ context.Context, _ Execer, _ string, user UserID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.retired[user] = true
	if id := m.linkedTo(user); id != "" {
		l := m.links[id]
		l.State = Forgotten
		m.links[id] = l
	}
	return nil
}

func (m *memory) Record(context.Context, string, string) (Record, error) {
	return Record{}, ErrNotFound
}

// oryModel is Ory's admin API over a map.
type oryModel struct {
	mu         sync.Mutex
	admin      bool
	down       bool
	identities map[IdentityID]Identity
	patches    []string // identity, key, value of each write
}

func (o *oryModel) HasAdmin() bool { return o.admin }

func (o *oryModel) Identity(_ context.Context, id IdentityID) (Identity, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch i, ok := o.identities[id]; {
	case !o.admin:
		return Identity{}, ErrNoAdmin
	case o.down:
		return Identity{}, ErrUnavailable
	case !ok:
		return Identity{}, ErrNotFound
	default:
		return i, nil
	}
}

func (o *oryModel) AddPublicMetadata(_ context.Context, id IdentityID, key, value string) (Identity, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i, ok := o.identities[id]
	if !ok {
		return Identity{}, ErrNotFound
	}
	o.patches = append(o.patches, fmt.Sprint(id, " ", key, " ", value))
	i.MetadataPublic = fmt.Appendf(nil, `{%q:%q}`, key, value)
	o.identities[id] = i
	return i, nil
}
