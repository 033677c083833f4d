package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/symbolon-id/symbolon"
)

// Ledger reads the ledger, and removes a test person from it.
type Ledger interface {
	// LatestLinks returns the latest links, the newest first.
	LatestLinks(ctx context.Context, project string, limit int) ([]symbolon.Event, error)

	// Record returns everything known about one person. symbolon.ErrNotFound: nothing is known.
	Record(ctx context.Context, project, id string) (symbolon.Record, error)

	// Unmake removes the link and the row of an identity that Ory has deleted.
	Unmake(ctx context.Context, project string, id symbolon.IdentityID) error

	Journal
}

// A first request soon after the identity was created means a sign-up and not an import. The
// doctor looks at the latest links; recent is their number. If a request made the link, it
// reads the identity at Ory. It reads at most as many identities as samples says, and stops
// when it has found as many sign-ups as enough says.
const (
	recent  = 1000
	samples = 20
	enough  = 3
	soon    = 10 * time.Minute
)

// needLedger requires the ledger.
func (d *Doctor) needLedger() (Result, bool) { return databaseFirst, d.Ledger != nil }

// checkSilent finds sign-ups without a link hook. Identities made by the admin API call no
// hook and are ignored.
func (d *Doctor) checkSilent(ctx context.Context) Result {
	links, err := d.Ledger.LatestLinks(ctx, d.Project, recent)
	if err != nil {
		return unknownUntil("database", "the ledger cannot be read: %s", err)
	}
	last, since := time.Time{}, d.Now().Add(-d.Silence)
	if i := slices.IndexFunc(links, func(e symbolon.Event) bool { return e.Source == symbolon.FromLinkHook }); i >= 0 {
		last = links[i].At
	}
	if last.After(since) {
		return well("the last link hook made a user %s", ago(d.Now().Sub(last)))
	}
	expected := d.find("link", func(p placed) bool { return p.flow == "registration" })
	if last.IsZero() && len(expected) == 0 {
		return skipped("no link hook made one of the newest links, and no link hook is known to be configured; users are made at the first request")
	}
	return d.decideSilence(ctx, links, last, since)
}

func (d *Doctor) decideSilence(ctx context.Context, links []symbolon.Event, last, since time.Time) Result {
	asked, fresh := 0, 0
	for _, e := range links {
		if e.Source != symbolon.FromRequest || e.At.Before(since) || asked == samples || fresh == enough {
			continue
		}
		if !d.Ory.HasAdmin() {
			return unknown("set ory.admin_url", "no link hook made a user for %s, but requests did; without the admin API, sign-ups cannot be distinguished from imports", days(d.Silence))
		}
		asked++
		id, err := patiently(ctx, func(ctx context.Context) (symbolon.Identity, error) { return d.Ory.Identity(ctx, e.Identity) })
		switch {
		case errors.Is(err, symbolon.ErrNotFound):
		case err != nil:
			return unknownUntil("admin", "identities cannot be read: %s", why(err))
		case e.At.Sub(id.CreatedAt) < soon:
			fresh++
		}
	}
	if fresh == 0 {
		return well("nobody signed up in the last %s without a link hook", days(d.Silence))
	}
	known := "among the newest links none was made by a link hook"
	if !last.IsZero() {
		known = "the last link that a link hook made is of " + last.UTC().Format("2006-01-02 15:04 MST")
	}
	return problem("%s, but in the last %s at least %d people signed up and got their user by a request; either the hooks did not arrive, or the requests were faster", known, days(d.Silence), fresh).
		breaks("people who sign up have no user before their first request; people who send no request (in a native application, or with an e-mail address that is not verified yet) have no user until a reconcile").
		fix("find out why the hooks do not arrive: symbolon doctor --kratos-config FILE --live")
}

func ago(d time.Duration) string {
	if d < time.Minute {
		return "just now"
	}
	return d.Round(time.Minute).String() + " ago"
}

func days(d time.Duration) string { return fmt.Sprintf("%.3g days", d.Hours()/24) }
