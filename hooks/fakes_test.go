package hooks

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testSecrets = []symbolon.Secret{symbolon.Secret("c41e9b07d5f2836a0e7d4c1b9f385a62"), symbolon.Secret("8f2d1c7ab94e60537d1fe2c4b6a89035")}

// ledger is a store that keeps links in a map. While it is down, every call fails.
// internal/e2e tests the hooks with real stores.
type ledger struct {
	mu       sync.Mutex
	newID    symbolon.NewID
	links    map[symbolon.IdentityID]symbolon.Link
	readings []symbolon.Reading
	down     bool
	denied   string // the code of the condition that every user's row meets; empty: none
}

func (l *ledger) NewID() symbolon.NewID { return l.newID }

func (l *ledger) Ticket(context.Context) (symbolon.Ticket, error) {
	if l.down {
		return 0, symbolon.ErrUnavailable
	}
	return 1, nil
}

func (l *ledger) Read(context.Context, symbolon.Query) (symbolon.Evidence, error) {
	if l.down {
		return symbolon.Evidence{}, symbolon.ErrUnavailable
	}
	return symbolon.Evidence{}, nil
}

// hosting is a ledger that knows one user.
type hosting struct {
	*ledger
	known symbolon.Claimed
	err   error
}

func (h hosting) Read(_ context.Context, q symbolon.Query) (symbolon.Evidence, error) {
	return symbolon.Evidence{Claims: slices.Repeat([]symbolon.Claimed{h.known}, len(q.Claims))}, h.err
}

func (l *ledger) Write(_ context.Context, q symbolon.Query, decide func(symbolon.Evidence) (symbolon.Plan, error)) (symbolon.Outcome, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.readings = append(l.readings, q.Reading)
	var e symbolon.Evidence
	if link, ok := l.links[q.Reading.Identity.ID]; ok {
		e.Link, e.User = &link, &symbolon.Row{ID: link.User, Identity: link.Identity, Denied: l.denied}
	}
	plan, err := decide(e)
	if err != nil {
		return symbolon.Outcome{}, err
	}
	out := symbolon.Outcome{Plan: plan, New: plan.Action == symbolon.Create}
	if plan.Action == symbolon.Create {
		l.links[q.Reading.Identity.ID] = symbolon.Link{Identity: q.Reading.Identity.ID, User: plan.User, State: symbolon.Linked}
	}
	out.Link = l.links[q.Reading.Identity.ID]
	return out, nil
}

// Start returns a settled start: all people are new.
func (l *ledger) Start(context.Context, string) (symbolon.Start, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return symbolon.Start{}, symbolon.ErrUnavailable
	}
	return symbolon.Start{CreatedAt: time.Now(), SettledAt: time.Now()}, nil
}

func (l *ledger) Settle(ctx context.Context, project, _ string) (symbolon.Start, error) {
	return l.Start(ctx, project)
}

func (l *ledger) Forget(context.Context, symbolon.Execer, string, symbolon.UserID) error { return nil }

func (l *ledger) Record(context.Context, string, string) (symbolon.Record, error) {
	return symbolon.Record{}, symbolon.ErrNotFound
}

func (l *ledger) users() map[symbolon.IdentityID]symbolon.Link {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.links)
}

// admin is Ory's admin API. If identities is nil, no admin API is configured.
type admin struct {
	identities map[symbolon.IdentityID]symbolon.Identity
	err        error
	asked      func(context.Context)
}

// errHangs makes the admin API hang for longer than a hook may take.
var errHangs = errors.New("hangs")

func (a *admin) HasAdmin() bool { return a.identities != nil || a.err != nil }

func (a *admin) Identity(ctx context.Context, id symbolon.IdentityID) (symbolon.Identity, error) {
	if a.asked != nil {
		a.asked(ctx)
	}
	if errors.Is(a.err, errHangs) {
		time.Sleep(3 * time.Second) // in a synctest bubble
		return symbolon.Identity{}, symbolon.ErrUnavailable
	}
	if a.err != nil {
		return symbolon.Identity{}, a.err
	}
	identity, ok := a.identities[id]
	if !ok {
		return identity, symbolon.ErrNotFound
	}
	return identity, nil
}

func (a *admin) AddPublicMetadata(context.Context, symbolon.IdentityID, string, string) (symbolon.Identity, error) {
	return symbolon.Identity{}, symbolon.ErrUnavailable
}

func newHandler(ory *admin) (*Handler, *ledger) {
	store := &ledger{newID: symbolon.ByMint, links: map[symbolon.IdentityID]symbolon.Link{}}
	quiet := slog.New(slog.DiscardHandler)
	return &Handler{Log: quiet, Linker: &link.Linker{Ory: ory, Store: store, Secrets: testSecrets, Log: quiet,
		BackReference: link.BackReference{Write: link.WriteReserve}}}, store
}
