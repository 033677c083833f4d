package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// ways are how the ledger says that a user was linked. Several are right at once: a hook, a request and a run of reconcile race, and
// each of them makes the same bond.
var ways = map[string]string{"link": "the link hook", "request": "the first request", "reconcile": "a reconcile run"}

// bonded checks all four places where the bond shows: the row, the ledger, Ory, and that there are no more rows than people. One of
// the legitimate ways made the bond, and it keeps that way ever after.
func (d *demo) bonded(ctx context.Context, who *traveller, people int, legitimate ...string) error {
	p, link, err := d.known(ctx, who.identity)
	if err != nil {
		return err
	}
	if p == nil {
		return fmt.Errorf("no row in people names identity %s", who.identity)
	}
	if link == nil {
		return fmt.Errorf("the ledger has no entry for identity %s", who.identity)
	}
	n, err := d.rows(ctx)
	if err != nil {
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
		return fmt.Errorf("the ledger says linked by %q, which cannot be: want %s", link.Source, strings.Join(legitimate, " or "))
	}
	for _, check := range [][3]string{
		{"people.id", p.id, who.minted}, {"people.email", p.email, who.email}, {"the number of people", fmt.Sprint(n), fmt.Sprint(people)},
		{"the ledger's user", link.User, who.minted}, {"the ledger's state", link.State, "linked"},
		{"the number of times that it was linked", fmt.Sprint(link.linked), "1"}, {"metadata_public.id at Ory", held, who.minted},
	} {
		if err := same(check[0], check[1], check[2]); err != nil {
			return err
		}
	}
	who.way = link.Source
	d.t.row("people", user, p.id, "id")
	d.t.row("", identity, p.identity, "ory_identity_id")
	d.t.row("", plain, p.email, "email")
	note := ""
	if link.Source == "reconcile" {
		note = "it came first"
	}
	d.t.row("ledger", plain, "linked by "+ways[link.Source], note)
	d.t.row("Ory", user, held, "metadata_public.id")
	return nil
}

// known is the row and the ledger's entry of an identity. Both come in one transaction, so they are read until they agree that there
// is a user, or that there is none.
func (d *demo) known(ctx context.Context, identity string) (p *person, link *bond, err error) {
	for range 3 {
		if p, err = d.row(ctx, identity); err != nil {
			return nil, nil, err
		}
		if link, err = d.ledger(ctx, identity); err != nil {
			return nil, nil, err
		}
		if (p == nil) == (link == nil) {
			break
		}
	}
	return p, link, nil
}

// errGaveUp: Ory gave up a hook. It does after five tries, or where its Jsonnet did not get the one second that it has, and then says so
// in its log only.
var errGaveUp = errors.New("ory gave up sending the link hook")

// The ends that a link hook may have. Ory repeats a hook that was lost, got no answer, or got a 5xx.
func lost(h hook) bool     { return h.lost }
func answered(h hook) bool { return h.status > 0 && h.status < 500 }
func either(h hook) bool   { return lost(h) || answered(h) }

// linkHook waits until a link hook of an identity has come to its end.
func (d *demo) linkHook(ctx context.Context, who *traveller, end func(hook) bool) (hook, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	wanted := func(h hook) bool { return h.name == "link" && h.identity == who.identity && end(h) }
	for {
		gaveUp := d.gaveUp(who) // before the look: what came last is seen
		soon, stop := context.WithTimeout(ctx, 200*time.Millisecond)
		h, err := d.tap.wait(soon, "the link hook", who.hooks, wanted)
		stop()
		switch {
		case err == nil:
			return h, nil
		case ctx.Err() != nil:
			return h, err
		case gaveUp:
			return h, errGaveUp
		}
	}
}

// gaveUp reads in Kratos' log whether it gave up a hook since somebody began to sign up. Kratos names no identity there; the people of
// the demo sign up one after another.
func (d *demo) gaveUp(who *traveller) bool {
	log, err := os.Open(d.kratosLog())
	if err != nil {
		return false
	}
	defer log.Close()
	if _, err := log.Seek(who.logged, io.SeekStart); err != nil {
		return false
	}
	text, err := io.ReadAll(log)
	return err == nil && bytes.Contains(text, []byte("Webhook request failed but the error was ignored"))
}

func (d *demo) kratosLog() string { return filepath.Join(d.file("kratos"), "kratos.log") }

func (d *demo) kratosLogged() int64 {
	info, err := os.Stat(d.kratosLog())
	if err != nil {
		return 0
	}
	return info.Size()
}

// heeded checks that Symbolon did what a hook told of. A hook that could not be followed at once is queued, and done soon.
func (d *demo) heeded(ctx context.Context, what string, h hook) error {
	if h.answer != "queued" {
		return same(what, h.answer, "done")
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		if link, err := d.ledger(ctx, h.identity); err != nil || link != nil && link.linked > 0 {
			return err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("%s was %q, and nothing came of it: %w", what, h.answer, err)
		}
	}
}

// insist sends a form until the answer is not a 5xx. Kratos answers with one on a busy machine: its Jsonnet has one second, its database
// may be locked, and the application answers 503 while Kratos is too slow for it. A person would try again as well.
func (d *demo) insist(ctx context.Context, who *traveller, what string, send func() (*page, error)) (err error) {
	who.stop = notesPath
	defer func() { who.stop = "" }()
	for try := 1; ; try++ {
		if who.at, err = send(); err != nil {
			return err
		}
		if who.at.status < 500 || try == 10 {
			return nil
		}
		d.t.row(what, plain, fmt.Sprintf("answer: %d; tried again", who.at.status), "the machine is busy")
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
}

// whoami asks Ory itself with the browser's cookies.
func (d *demo) whoami(ctx context.Context, b *browser) (id, held string, err error) {
	p, err := b.get(ctx, d.kratos.PublicURL+"/sessions/whoami")
	if err != nil {
		return "", "", err
	}
	if p.status != http.StatusOK {
		return "", "", fmt.Errorf("whoami says %d", p.status)
	}
	body := []byte(p.text)
	return textAt(body, "identity", "id"), textAt(body, "identity", "metadata_public", "id"), nil
}

func same(what, got, want string) error {
	if got != want {
		return fmt.Errorf("%s is %q, not %q", what, got, want)
	}
	return nil
}

// patiently repeats a question until the answer is not "not now", for a minute and a half at most.
func patiently(ctx context.Context, ask func() (status int, err error)) error {
	for end := time.Now().Add(90 * time.Second); ; {
		status, err := ask()
		notNow := status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
		if err != nil || !notNow || time.Now().After(end) {
			return err
		}
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
