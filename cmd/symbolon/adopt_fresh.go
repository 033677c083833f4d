package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/adopt"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
)

// freshReport is what --start-fresh did, or would do.
type freshReport struct {
	adopt.RenewReport
	Settled bool `json:"settled"`
}

// startFresh settles the start. With --renew it first gives new users to the identities whose
// user is lost or unknown. With --dry-run it only counts.
func (c adoptCmd) startFresh(a *cli.App, s *system.System, run *adopt.Adopter, o adopt.Options, p *cli.Progress) error {
	var counts *adopt.Counts // nil: Ory cannot be asked
	var r freshReport
	var err error
	if c.DryRun && s.Ory.HasAdmin() {
		var n adopt.Counts
		n, err = run.Plan(a.Ctx, o, func(adopt.Line) error { return nil })
		counts = &n
	}
	if err == nil && c.Renew {
		r.RenewReport, err = run.Renew(a.Ctx, c.DryRun, c.Why, o, func(n adopt.Renewal) error { return c.printRenewal(a.Out, n) })
	}
	if err == nil && !c.DryRun {
		err = run.Linker.StartFresh(a.Ctx)
		r.Settled = err == nil
	}
	p.End()
	if err == nil || r.Done > 0 || len(r.Refused) > 0 {
		if printErr := c.printFresh(a.Out, r, counts, err == nil); printErr != nil {
			return printErr
		}
	}
	if err == nil && len(r.Refused) > 0 {
		return cli.Left(len(r.Refused), "refused line")
	}
	return err
}

// printRenewal lists an identity that --renew --dry-run found.
func (c adoptCmd) printRenewal(out io.Writer, n adopt.Renewal) (err error) {
	switch {
	case !c.DryRun:
	case c.JSON:
		err = json.NewEncoder(out).Encode(map[string]any{"renew": n})
	case n.User == "":
		_, err = fmt.Fprintf(out, "a new user for identity %s: %s\n", n.Identity, n.Reason)
	default:
		_, err = fmt.Fprintf(out, "a new user for identity %s: %s, user %s\n", n.Identity, n.Reason, cli.Plain(string(n.User)))
	}
	return err
}

func (c adoptCmd) printFresh(out io.Writer, r freshReport, counts *adopt.Counts, complete bool) error {
	if c.JSON {
		return json.NewEncoder(out).Encode(map[string]any{"summary": r, "dry_run": c.DryRun})
	}
	var b strings.Builder
	for _, f := range r.Refused {
		fmt.Fprintf(&b, "refused: identity %s: %s\n", f.Identity, cli.Plain(f.Why))
	}
	for _, reason := range slices.Sorted(maps.Keys(r.Found)) {
		fmt.Fprintf(&b, "%-25s %8d\n", reason, r.Found[reason])
	}
	if r.NotEligible > 0 {
		fmt.Fprintf(&b, "%-25s %8d  users.when does not admit them; they get no user\n", "not eligible", r.NotEligible)
	}
	switch {
	case c.DryRun && complete:
		c.foretell(&b, r, counts)
	case r.Settled:
		if c.Renew {
			fmt.Fprintf(&b, "%d got a new user\n", r.Done)
		}
		b.WriteString("the start is settled: an identity that Symbolon does not know yet gets a new user at its next request\nnext: symbolon serve\n")
	default:
		fmt.Fprintf(&b, "%d got a new user; the start was not settled by this run\n", r.Done)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// foretell writes what --start-fresh would do.
func (c adoptCmd) foretell(b *strings.Builder, r freshReport, counts *adopt.Counts) {
	b.WriteString("nothing was changed\n")
	command := "symbolon adopt --start-fresh"
	if c.Renew {
		n := 0
		for _, found := range r.Found {
			n += found
		}
		fmt.Fprintf(b, "identities that would get a new user at once: %d\n", n)
		command += " --renew"
	}
	if counts == nil {
		b.WriteString("how many identities would get a new user at their next request is not known without ory.admin_url\n")
	} else {
		fmt.Fprintf(b, "identities that would get a new user at their next request, because Symbolon does not know them yet: %d\n", counts.New)
		writeUnused(b, *counts)
		if way := c.best(*counts); way.finds > 0 {
			command = way.command("")
		}
	}
	fmt.Fprintf(b, "next: %s\n", command)
}

// places are the places of Counts.Places. The place that names the most users is first.
func places(counts adopt.Counts) []symbolon.Proof {
	return slices.SortedFunc(maps.Keys(counts.Places), func(a, b symbolon.Proof) int {
		if n := counts.Places[b] - counts.Places[a]; n != 0 {
			return n
		}
		return strings.Compare(string(a), string(b))
	})
}

// writeUnused writes how many identities have a user by evidence that the plan does not use.
func writeUnused(b *strings.Builder, counts adopt.Counts) {
	for _, by := range places(counts) {
		fmt.Fprintf(b, "not used: %d of %d by %s\n", counts.Places[by], counts.Undecided, by)
	}
	if counts.Mailed > 0 {
		fmt.Fprintf(b, "not used: %d of %d by e-mail; set adopt.verified_email and adopt.verified_column\n", counts.Mailed, counts.Undecided)
	}
}

// way is evidence that the plan does not use.
type way struct {
	by    symbolon.Proof // a place, or symbolon.ByVerifiedEmail
	finds int            // how many identities have a user by it
}

// best is the way that finds the most users. The e-mail address must find more than each place.
func (c adoptCmd) best(counts adopt.Counts) (best way) {
	if better := places(counts); len(better) > 0 {
		best = way{better[0], counts.Places[better[0]]}
	}
	if counts.Mailed > best.finds {
		best = way{symbolon.ByVerifiedEmail, counts.Mailed}
	}
	return best
}

// command goes this way. flags are further places, each with --by.
func (w way) command(flags string) string {
	if w.by == symbolon.ByVerifiedEmail {
		return "set adopt.verified_email and adopt.verified_column, then symbolon adopt" + flags + " --plan plan.csv"
	}
	return "symbolon adopt" + flags + " --by " + string(w.by) + " --plan plan.csv"
}

// printNext says which command comes after the plan.
func (c adoptCmd) printNext(a *cli.App, s *system.System, out io.Writer, counts adopt.Counts) error {
	if c.JSON {
		return nil
	}
	settled, err := isSettled(a, s)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "next: %s\n", c.next(counts, settled))
	return err
}

// isSettled reports whether the start of the project is settled.
func isSettled(a *cli.App, s *system.System) (bool, error) {
	start, err := s.Store.FindStart(a.Ctx, s.Config.Ory.Project)
	if errors.Is(err, symbolon.ErrNotFound) {
		return false, nil
	}
	return start.Settled(), err
}

func (c adoptCmd) next(counts adopt.Counts, settled bool) string {
	best := c.best(counts)
	written := slices.IndexFunc(c.Plan, func(name string) bool { return name != "-" })
	by := ""
	for _, place := range c.By {
		by += " --by " + string(place)
	}
	switch {
	case best.finds > counts.Bind || best.finds > 0 && counts.Bind > 0 && written < 0 && len(c.By) == 0:
		return best.command(by)
	case counts.Bind > 0 && written >= 0:
		return "read the plan, then symbolon adopt --apply " + cli.Plain(c.Plan[written])
	case counts.Bind > 0:
		return "symbolon adopt" + by + " --plan plan.csv"
	case best.finds > 0:
		return best.command(by)
	case counts.Identities == 0 && !settled:
		return "symbolon adopt --start-fresh"
	case !settled && counts.Users > counts.Lines[adopt.Linked]:
		return "symbolon adopt --by PLACE, if a place names users; symbolon adopt --start-fresh --dry-run, if nobody at Ory has a row"
	case counts.Lines[adopt.Ambiguous] > 0:
		return "symbolon bind IDENTITY USER for each ambiguous line"
	}
	return "symbolon serve"
}
