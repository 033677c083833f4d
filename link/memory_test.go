package link

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon"
)

// memory is a Store in maps, which is fast enough for a hundred thousand steps of the
// property test. The application's users table is rows.
type memory struct {
	mu      sync.Mutex
	newID   symbolon.NewID
	ticket  symbolon.Ticket
	links   map[symbolon.IdentityID]symbolon.Link
	rows    map[symbolon.UserID]symbolon.IdentityID
	retired map[symbolon.UserID]bool
	open    map[symbolon.IdentityID][]symbolon.Finding
	events  []symbolon.Event
	serial  int
	down    bool
	start   symbolon.Start
	starts  int // calls of Start
}

// users counts the rows.
func (m *memory) users() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.rows)
}

func newMemory(newID symbolon.NewID) *memory {
	return &memory{newID: newID, links: map[symbolon.IdentityID]symbolon.Link{}, rows: map[symbolon.UserID]symbolon.IdentityID{},
		retired: map[symbolon.UserID]bool{}, open: map[symbolon.IdentityID][]symbolon.Finding{}}
}

func (m *memory) NewID() symbolon.NewID { return m.newID }

func (m *memory) Ticket(context.Context) (symbolon.Ticket, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return 0, symbolon.ErrUnavailable
	}
	m.ticket++
	return m.ticket, nil
}

func (m *memory) Read(_ context.Context, q symbolon.Query) (symbolon.Evidence, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return symbolon.Evidence{}, symbolon.ErrUnavailable
	}
	return m.evidence(q), nil
}

func (m *memory) evidence(q symbolon.Query) symbolon.Evidence {
	id := q.Reading.Identity.ID
	e := symbolon.Evidence{Users: len(m.links)}
	if l, ok := m.links[id]; ok {
		e.Link = &l
		if _, ok := m.rows[l.User]; ok {
			e.User = m.row(l.User)
		}
	}
	for user, identity := range m.rows {
		if identity == id {
			e.Row = m.row(user)
		}
	}
	for _, user := range q.Claims {
		c := symbolon.Claimed{Retired: m.retired[user], Linked: m.linkedTo(user)}
		if _, ok := m.rows[user]; ok && user != "" {
			c.Row = m.row(user)
		}
		e.Claims = append(e.Claims, c)
	}
	for _, event := range m.events {
		if event.Kind == symbolon.ClaimRefused {
			e.Conflicts++
		}
	}
	return e
}

func (m *memory) row(user symbolon.UserID) *symbolon.Row {
	return &symbolon.Row{ID: user, Identity: m.rows[user], Linked: m.linkedTo(user)}
}

func (m *memory) linkedTo(user symbolon.UserID) symbolon.IdentityID {
	for id, l := range m.links {
		if l.User == user && l.State == symbolon.Linked && user != "" {
			return id
		}
	}
	return ""
}

func (m *memory) Write(_ context.Context, q symbolon.Query, decide func(symbolon.Evidence) (symbolon.Plan, error)) (symbolon.Outcome, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return symbolon.Outcome{}, symbolon.ErrUnavailable
	}
	plan, err := decide(m.evidence(q))
	if err != nil {
		return symbolon.Outcome{}, err
	}
	out := symbolon.Outcome{Plan: plan}
	id := q.Reading.Identity.ID
	before := m.links[id]
	l := before
	l.Identity, l.Ticket = id, max(l.Ticket, q.Reading.Ticket)
	switch plan.Action {
	case symbolon.Create:
		user := plan.User
		if user == "" {
			m.serial++
			user = symbolon.UserID(fmt.Sprint(m.serial))
		}
		if _, taken := m.rows[user]; taken || m.retired[user] {
			return symbolon.Outcome{}, fmt.Errorf("the plan creates user %s twice: %w", user, symbolon.ErrConflict)
		}
		if plan.Retire != "" {
			m.retired[plan.Retire] = true
		}
		m.rows[user] = id
		l.User, l.State, l.Reason, out.New = user, symbolon.Linked, "", true
	case symbolon.Attach:
		if plan.Release != "" {
			other := m.links[plan.Release]
			other.Identity, other.State, other.Reason = plan.Release, symbolon.OnHold, symbolon.Moved
			m.links[plan.Release] = other
		}
		if before.User != "" && m.rows[before.User] == id {
			m.rows[before.User] = ""
		}
		out.New = before.State != symbolon.Linked || before.User != plan.User
		m.rows[plan.User] = id
		l.User, l.State, l.Reason = plan.User, symbolon.Linked, ""
	case symbolon.End:
		if plan.Retire != "" {
			m.retired[plan.Retire] = true
		}
		if plan.Row == symbolon.DeleteRow {
			delete(m.rows, plan.User)
		}
		l.User, l.State, l.Reason = plan.User, plan.State, ""
	case symbolon.Hold:
		l.State, l.Reason = symbolon.OnHold, plan.Reason
	case symbolon.Keep, symbolon.Deny, symbolon.Wait:
		out.Link, out.Opened = before, m.openFindings(id, plan)
		return out, nil
	}
	if plan.BackReference != "" {
		l.BackReference = plan.BackReference
	}
	if plan.Conflict {
		m.events = append(m.events, symbolon.Event{Kind: symbolon.ClaimRefused, Identity: id})
	}
	if out.New {
		m.events = append(m.events, symbolon.Event{Kind: symbolon.UserLinked, Identity: id, User: l.User, Before: before.User})
	}
	m.links[id] = l
	out.Link, out.Opened = l, m.openFindings(id, plan)
	return out, nil
}

func (m *memory) openFindings(id symbolon.IdentityID, plan symbolon.Plan) (opened []symbolon.Finding) {
	for _, f := range plan.Findings {
		if !slices.ContainsFunc(m.open[id], func(o symbolon.Finding) bool { return o.Kind == f.Kind }) {
			m.open[id] = append(m.open[id], f)
			opened = append(opened, f)
		}
	}
	return opened
}

func (m *memory) Forget(_ context.Context, _ symbolon.Execer, _ string, user symbolon.UserID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.retired[user] = true
	if id := m.linkedTo(user); id != "" {
		l := m.links[id]
		l.State = symbolon.Forgotten
		m.links[id] = l
	}
	return nil
}

func (m *memory) Record(context.Context, string, string) (symbolon.Record, error) {
	return symbolon.Record{}, symbolon.ErrNotFound
}

func (m *memory) Start(context.Context, string) (symbolon.Start, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return symbolon.Start{}, symbolon.ErrUnavailable
	}
	m.starts++
	if m.start.CreatedAt.IsZero() {
		m.start = symbolon.Start{CreatedAt: time.Now(), SettledAt: time.Now(), SettledBy: "no_rows"}
	}
	return m.start, nil
}

func (m *memory) Settle(_ context.Context, _, by string) (symbolon.Start, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return symbolon.Start{}, symbolon.ErrUnavailable
	}
	if !m.start.Settled() {
		m.start.SettledAt, m.start.SettledBy = time.Now(), by
	}
	return m.start, nil
}

// oryModel is Ory's admin API in a map.
type oryModel struct {
	mu         sync.Mutex
	admin      bool
	down       bool
	identities map[symbolon.IdentityID]symbolon.Identity
	patches    []string // identity, key, value of each write
}

func (o *oryModel) HasAdmin() bool { return o.admin }

func (o *oryModel) Identity(_ context.Context, id symbolon.IdentityID) (symbolon.Identity, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch i, ok := o.identities[id]; {
	case !o.admin:
		return symbolon.Identity{}, symbolon.ErrNoAdmin
	case o.down:
		return symbolon.Identity{}, symbolon.ErrUnavailable
	case !ok:
		return symbolon.Identity{}, symbolon.ErrNotFound
	default:
		return i, nil
	}
}

func (o *oryModel) AddPublicMetadata(_ context.Context, id symbolon.IdentityID, key, value string) (symbolon.Identity, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i, ok := o.identities[id]
	if !ok {
		return symbolon.Identity{}, symbolon.ErrNotFound
	}
	o.patches = append(o.patches, fmt.Sprint(id, " ", key, " ", value))
	i.MetadataPublic = fmt.Appendf(nil, `{%q:%q}`, key, value)
	o.identities[id] = i
	return i, nil
}
