package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon/internal/wait"
)

// ways are the names of the sources of a link in the ledger. Several may be right, because a hook, a request and a reconcile run race and
// each of them can make the link.
var ways = map[string]string{"link": "the link hook", "request": "the first request", "reconcile": "a reconcile run"}

// bonded checks all places of the link: the row, the ledger, Ory, and the number of rows. The link must come from a legitimate source,
// which must not change later.
func (d *demo) bonded(ctx context.Context, who *traveller, people int, legitimate ...string) error {
	link, err := d.ledger(ctx, who.identity) // read before the row, because both are written in one transaction
	if err != nil {
		return err
	}
	p, err := d.row(ctx, who.identity)
	if err != nil {
		return err
	}
	if p == nil {
		return fmt.Errorf("no row in people names identity %s", who.identity)
	}
	if link == nil {
		return fmt.Errorf("the ledger has no entry for identity %s", who.identity)
	}
	var rows int
	if err := d.db.QueryRowContext(ctx, "select count(*) from people").Scan(&rows); err != nil {
		return err
	}
	held, err := d.atOry(ctx, who.identity)
	if err != nil {
		return err
	}
	if who.way != "" {
		legitimate = []string{who.way}
	}
	if !slices.Contains(legitimate, link.Source) {
		return fmt.Errorf("the ledger says that the link was made by %q, but expected is %s", link.Source, strings.Join(legitimate, " or "))
	}
	err = errors.Join(
		same("people.id", p.id, who.minted),
		same("people.email", p.email, who.email),
		same("the number of people", strconv.Itoa(rows), strconv.Itoa(people)),
		same("the ledger's user", link.User, who.minted),
		same("the ledger's state", link.State, "linked"),
		same("the number of times that it was linked", strconv.Itoa(link.linked), "1"),
		same("metadata_public.id at Ory", held, who.minted),
	)
	if err != nil {
		return err
	}
	who.way = link.Source
	note := ""
	if link.Source == "reconcile" {
		note = "found her at Ory first"
	}
	d.showPerson(p)
	d.t.row("ledger", plain, "linked by "+ways[link.Source], note)
	d.t.row("Ory", user, held, "metadata_public.id")
	return nil
}

// errGaveUp means that Ory gave up a hook. Ory gives up after five tries, or if the hook's Jsonnet needs more than one second. It reports
// this only in its log.
var errGaveUp = errors.New("ory gave up sending the link hook")

// How a link hook can end. Ory repeats a hook that was lost, got no answer, or got a 5xx.
func lost(h hook) bool     { return h.lost }
func answered(h hook) bool { return h.status > 0 && h.status < 500 }
func either(h hook) bool   { return lost(h) || answered(h) }

// linkHook waits until a link hook of an identity has ended.
func (d *demo) linkHook(ctx context.Context, who *traveller, end func(hook) bool) (h hook, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 3*time.Minute, errors.New("the link hook did not come within three minutes"))
	defer cancel()
	wanted := func(h hook) bool { return h.name == "link" && h.identity == who.identity && end(h) }
	err = until(ctx, 100*time.Millisecond, func() (found bool, err error) {
		gaveUps := d.gaveUps() // read before the hooks, so that the newest hook is seen
		if h, found = d.tap.find(who.hooks, wanted); !found && gaveUps > who.gaveUps {
			err = errGaveUp
		}
		return found, err
	})
	return h, err
}

// gaveUps returns how many hooks Kratos gave up, by its log. Kratos' log does not name the identity, so the people of the demo sign up one
// after another.
func (d *demo) gaveUps() int {
	return strings.Count(d.kratos.Log(), "Webhook request failed but the error was ignored")
}

// linkAnswered waits for the answer to a link hook, shows it, and checks that Symbolon did the hook's work. came is false if Ory gave the
// hook up, as it does on a very busy machine.
func (d *demo) linkAnswered(ctx context.Context, who *traveller, end func(hook) bool) (came bool, err error) {
	h, err := d.linkHook(ctx, who, end)
	switch {
	case errors.Is(err, errGaveUp):
		d.t.row("link hook", plain, "never came: Ory gave up", "the machine is busy")
		return false, nil
	case err != nil:
		return false, err
	case h.lost:
		return false, errors.New("the link hook was lost")
	case h.answer == "queued": // Symbolon follows it later
		err = d.waitLinked(ctx, who)
	default:
		err = same("the answer to the link hook", h.answer, "done")
	}
	if err != nil {
		return false, err
	}
	d.t.row("link hook", plain, "answer: "+h.answer, "")
	return true, nil
}

func (d *demo) waitLinked(ctx context.Context, who *traveller) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute, errors.New("a queued link hook was not followed within two minutes"))
	defer cancel()
	return until(ctx, 50*time.Millisecond, func() (linked bool, err error) {
		link, err := d.ledger(ctx, who.identity)
		return link != nil && link.linked > 0, err
	})
}

// insist sends a form until the answer is not a 5xx. Kratos answers with a 5xx on a busy machine: its Jsonnet has only one second, its
// database may be locked, and the application answers 503 while Kratos is too slow. A person would also try again.
func (d *demo) insist(ctx context.Context, who *traveller, what string, send func() (*page, error)) (err error) {
	for try := 1; ; try++ {
		if who.at, err = send(); err != nil {
			return err
		}
		if who.at.status < 500 || try == 10 {
			return nil
		}
		d.t.row(what, plain, fmt.Sprintf("answer: %d; tried again", who.at.status), "the machine is busy")
		if err := wait.For(ctx, time.Second); err != nil {
			return err
		}
	}
}

func same(what, got, want string) error {
	if got != want {
		return fmt.Errorf("%s is %q, not %q", what, got, want)
	}
	return nil
}

// until calls ask again and again, with a pause in between, until it returns true or an error.
func until(ctx context.Context, pause time.Duration, ask func() (yes bool, err error)) error {
	for {
		if yes, err := ask(); yes || err != nil {
			return err
		}
		if wait.For(ctx, pause) != nil {
			return context.Cause(ctx)
		}
	}
}
