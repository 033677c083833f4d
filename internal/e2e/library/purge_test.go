package library

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/e2e"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/reconcile"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// TestWhatEndsHereEndsThere checks every action and reading that makes a cached answer
// wrong: within a second both replicas know it. Answers are valid for an hour here, so
// only the purge can end them. A first link, or a reading without a change, purges
// nothing.
func TestWhatEndsHereEndsThere(t *testing.T) {
	t.Parallel()
	ways := map[string]struct {
		stays bool
		do    func(c *crowd, p, other *symbolontest.Person) error
	}{
		"erased": {do: func(c *crowd, p, _ *symbolontest.Person) error {
			_, err := c.replicas[0].Linker.Erase(c.t.Context(), symbolon.IdentityID(p.IdentityID), "", "a test")
			return err
		}},
		"the row deactivated after a proof that the identity is gone": {do: func(c *crowd, p, other *symbolontest.Person) error {
			if err := c.kratos.DeleteIdentity(c.t.Context(), p.IdentityID); err != nil {
				return err
			}
			l := c.replicas[0].Linker
			proofs, err := l.ProveGone(c.t.Context(), []symbolon.IdentityID{symbolon.IdentityID(p.IdentityID)}, symbolon.IdentityID(other.IdentityID))
			if err != nil {
				return err
			}
			_, err = l.EndGone(c.t.Context(), proofs[0])
			return err
		}},
		"its user given to another identity": {do: func(c *crowd, p, other *symbolontest.Person) error {
			l := c.replicas[0].Linker
			who, err := l.Record(c.t.Context(), p.IdentityID)
			if err == nil {
				_, err = l.Bind(c.t.Context(), symbolon.IdentityID(other.IdentityID), who.Link.User, symbolon.BindOptions{Move: true})
			}
			return err
		}},
		"deactivated at Ory, found by a hook": {do: func(c *crowd, p, _ *symbolontest.Person) error {
			if err := c.deactivate(p); err != nil {
				return err
			}
			_, err := c.replicas[0].Linker.Refresh(c.t.Context(), symbolon.IdentityID(p.IdentityID), symbolon.FromSyncHook)
			return err
		}},
		"deactivated at Ory, found by reconcile": {do: func(c *crowd, p, _ *symbolontest.Person) error {
			if err := c.deactivate(p); err != nil {
				return err
			}
			return c.reconcile()
		}},
		"deleted at Ory, proved by reconcile": {do: func(c *crowd, p, _ *symbolontest.Person) error {
			if err := c.kratos.DeleteIdentity(c.t.Context(), p.IdentityID); err != nil {
				return err
			}
			return c.reconcile()
		}},
		"a hook that changes nothing": {stays: true, do: func(c *crowd, p, _ *symbolontest.Person) error {
			_, err := c.replicas[0].Linker.Refresh(c.t.Context(), symbolon.IdentityID(p.IdentityID), symbolon.FromSyncHook)
			return err
		}},
	}
	for _, dialect := range e2e.Both {
		t.Run(string(dialect), func(t *testing.T) {
			t.Parallel()
			c := newCrowd(t, dialect, 2*len(ways), time.Hour)
			for _, p := range c.people {
				for n, r := range c.replicas {
					if status := r.status(p.Token); status != 200 {
						t.Fatalf("replica %d: %d", n, status)
					}
				}
			}
			whose := map[string]*symbolontest.Person{}
			for name, way := range ways {
				p, other := c.people[2*len(whose)], c.people[2*len(whose)+1]
				whose[name] = p
				if err := way.do(c, p, other); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if status := c.replicas[0].status(p.Token); (status == 200) != way.stays {
					t.Errorf("%s: the first replica answers %d", name, status)
				}
			}
			for name, way := range ways {
				for began := time.Now(); !way.stays && time.Since(began) < aSecond() && c.replicas[1].status(whose[name].Token) == 200; {
					time.Sleep(5 * time.Millisecond)
				}
			}
			for name, way := range ways {
				asked := c.replicas[1].Stats().Asked
				if status := c.replicas[1].status(whose[name].Token); (status == 200) != way.stays {
					t.Errorf("%s: the second replica answers %d", name, status)
				}
				if more := c.replicas[1].Stats().Asked - asked; way.stays && more != 0 {
					t.Errorf("%s: %d questions to Ory", name, more)
				}
			}
		})
	}
}

func (c *crowd) deactivate(p *symbolontest.Person) error {
	return c.kratos.PatchIdentity(c.t.Context(), p.IdentityID, []map[string]string{{"op": "replace", "path": "/state", "value": "inactive"}})
}

// reconcile repairs what a pass of the first replica finds.
func (c *crowd) reconcile() error {
	c.t.Helper()
	v := c.replicas[0].Verifier
	store, ok := v.Linker.Store.(*sqlstore.Store)
	if !ok {
		return fmt.Errorf("the store is a %T", v.Linker.Store)
	}
	r := &reconcile.Reconciler{Linker: v.Linker, Ledger: store, Runs: store, Now: func() time.Time { return time.Now().Add(time.Hour) },
		Identities: func(ctx context.Context, from symbolon.IdentityID) iter.Seq2[symbolon.Identity, error] {
			return c.admin.Identities(ctx, ory.ListOptions{From: from})
		}}
	_, err := r.Run(c.t.Context(), reconcile.Options{Repair: true})
	return err
}
