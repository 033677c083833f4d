package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
)

type showCmd struct {
	ID   string `arg:"" help:"An identity's ID or a user's."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (showCmd) Help() string {
	return `Prints both halves, their link, its history and open findings. All times are UTC.
It reads the database itself, so it works while the server is down. With ory.admin_url it also reads the identity at Ory.

	symbolon show 018f2d5e-7c1a-7f3e-9b57-1c2d3e4f5a6b
	symbolon show 42 --json | jq .link.state`
}

// Run prints everything about one person.
func (c showCmd) Run(a *cli.App) error {
	return system.Use(a, func(s *system.System) error { return c.show(a, s) })
}

func (c showCmd) show(a *cli.App, s *system.System) error {
	p, err := system.Lookup(a.Ctx, s.Linker, s.Erasures(), s.Config.BackReferenceKey(), c.ID)
	if errors.Is(err, symbolon.ErrNotFound) {
		return c.notFound(a.Ctx, s)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		e := json.NewEncoder(a.Out)
		e.SetIndent("", "  ")
		return e.Encode(p)
	}
	return printPerson(a.Out, p)
}

// notFound says why the database knows nobody with the ID. Ory may know an identity that has no
// user.
func (c showCmd) notFound(ctx context.Context, s *system.System) error {
	id := cli.Plain(cli.Clip(c.ID, 64))
	unknown := fmt.Errorf("no identity and no user has the ID %s", id)
	hint := "Symbolon knows an identity after its first request or hook"
	if name, err := symbolon.ParseIdentityID(c.ID); err == nil {
		switch identity, err := s.Linker.Ory.Identity(ctx, name); {
		case err == nil:
			unknown = fmt.Errorf("the identity %s is at Ory, and has no user", id)
			if why := s.Linker.When.Refuses(identity); why != "" {
				return cli.Hint(unknown, "it gets none because of users.when: %s; its requests get 403 not_eligible (docs/deny.md)", why)
			}
			hint = "it gets one at its first request or hook"
		case errors.Is(err, symbolon.ErrNotFound):
			hint = "Ory has no such identity either"
		case !errors.Is(err, symbolon.ErrNoAdmin):
			unknown, hint = fmt.Errorf("the database has no identity and no user with the ID %s", id), "Ory does not answer, or its answer cannot be read; try again"
		}
	}
	return cli.Hint(unknown, "%s; ory.project is %q", hint, s.Config.Ory.Project)
}

// printPerson prints the current state first, and the history last.
func printPerson(out io.Writer, p system.Person) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	printHalves(w, p)
	if p.Erasure != nil {
		_, _ = fmt.Fprintln(w)
		printErasure(w, p.Erasure)
	}
	_, _ = fmt.Fprintf(w, "\nopen findings: %s\n", count(len(p.Findings)))
	for _, f := range p.Findings {
		_, _ = fmt.Fprintf(w, "  %s\t%s\t%s\n", stamp(f.At), f.Kind, cli.Plain(f.Detail))
	}
	_, _ = fmt.Fprintf(w, "\nhistory: %s\n", count(len(p.History)))
	for _, e := range p.History {
		_, _ = fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", stamp(e.At), e.Kind, e.Source, cli.Plain(eventLine(e)))
	}
	return w.Flush()
}

func printHalves(w io.Writer, p system.Person) {
	row := func(name string, value any, detail string) {
		_, _ = fmt.Fprintf(w, "%s\t%v\t%s\n", name, value, detail)
	}
	if h := p.Identity; h != nil {
		row("identity", h.ID, identityLine(*h))
	} else {
		row("identity", "none", "the user has no identity")
	}
	if h := p.User; h != nil {
		row("user", cli.Plain(string(h.ID)), userLine(*h, p.Identity, p.Link != nil && p.Link.State == symbolon.Also))
	} else {
		row("user", "none", "the identity has no user")
	}
	for _, f := range p.Further {
		row("also", f.Identity, furtherLine(*f, p.History))
	}
	if p.MergedInto != "" {
		row("merged", cli.Plain(string(p.MergedInto)), fmt.Sprintf("the user ended, and identity %s signs in as this one", p.MergedBy))
	}
	if p.Link != nil {
		row("link", p.Link.State, bondLine(*p.Link, p.History))
	} else {
		row("link", "none", "the ledger has no entry")
	}
	if h := p.Identity; h != nil && h.Ory == system.Exists {
		row("at Ory", value(h.BackReference), backReferenceLine(p))
	}
}

func identityLine(h system.IdentityHalf) string {
	switch h.Ory {
	case system.Exists:
		return fmt.Sprintf("%s at Ory, schema %s, created %s", h.State, cli.Plain(h.SchemaID), stamp(*h.CreatedAt))
	case system.Gone:
		return "GONE at Ory: there is no such identity"
	case system.NotAsked:
		return "Ory was not asked: ory.admin_url is not configured"
	}
	return "Ory does not answer, or its answer cannot be read"
}

func userLine(h system.UserHalf, i *system.IdentityHalf, further bool) string {
	line := rowLine(h, i, further)
	if h.Denied != "" {
		line += "; DENIED, because it meets users.deny." + h.Denied
	}
	if h.Unjudged != "" {
		line += "; NOT LET IN (503), because users.deny cannot judge the value of column " + h.Unjudged + ": correct it in the row"
	}
	return line
}

// furtherLine says whether a further identity still signs in as the user.
func furtherLine(b system.Bond, history []system.Event) string {
	if b.State == symbolon.Also {
		return "a further identity, " + bondLine(b, history)
	}
	return fmt.Sprintf("was a further identity, is %s, %s", b.State, bondLine(b, history))
}

func rowLine(h system.UserHalf, i *system.IdentityHalf, further bool) string {
	switch {
	case !h.Row:
		return "NO ROW in the users table"
	case h.Identity == "":
		return "its row names no identity"
	case i == nil || h.Identity != i.ID:
		if further {
			return "its row names its primary identity " + string(h.Identity)
		}
		return "its row names ANOTHER identity: " + string(h.Identity)
	}
	return "its row names this identity"
}

// endings are the events that end a link or put it on hold. A move puts the identity that
// loses its user on hold.
var endings = map[symbolon.LinkState][]symbolon.EventKind{symbolon.OnHold: {symbolon.LinkHeld, symbolon.LinkMoved},
	symbolon.Forgotten: {symbolon.UserForgotten}, symbolon.Gone: {symbolon.IdentityGone}, symbolon.Erased: {symbolon.UserErased}}

// bondLine says when the link got its state, and from which source. The ledger has the time at
// which the link was made; the time of an ending is that of its event.
func bondLine(b system.Bond, history []system.Event) string {
	s := fmt.Sprintf("since %s, by %s", stamp(b.At), b.Source)
	if kinds, ok := endings[b.State]; ok {
		s = fmt.Sprintf("made %s, by %s", stamp(b.At), b.Source) // stays like this if the event of the ending is not among the newest events
		for _, e := range slices.Backward(history) {
			if slices.Contains(kinds, e.Kind) && e.Identity == b.Identity {
				s = fmt.Sprintf("since %s, by %s", stamp(e.At), e.Source)
				break
			}
		}
	}
	if b.Reason != "" {
		s += ", because of " + string(b.Reason)
	}
	if b.Project != "default" {
		s += ", project " + b.Project
	}
	return s
}

func backReferenceLine(p system.Person) string {
	switch {
	case p.Identity.BackReference == "":
		return "no back-reference; nothing depends on it"
	case p.User != nil && p.Identity.BackReference == string(p.User.ID):
		return "back-reference, names this user"
	case p.User == nil && p.Identity.Reserved:
		return "a reserved ID; there is no user yet"
	}
	return "back-reference, names NOT this user; nothing depends on it"
}

// eventLine describes an event.
func eventLine(e system.Event) string {
	s := ""
	if e.User != "" {
		s = "user " + string(e.User)
	}
	if e.Before != "" {
		s += " (before: " + string(e.Before) + ")"
	}
	if e.Finding != "" {
		s += " " + string(e.Finding)
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

func value(s string) string { return cmp.Or(cli.Plain(s), "none") }

func count(n int) string {
	if n == 0 {
		return "none"
	}
	return strconv.Itoa(n)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + "Z" }
