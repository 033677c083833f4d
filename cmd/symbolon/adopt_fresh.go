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

// startFresh gives everybody without a user a new one, or counts them.
func (c adoptCmd) startFresh(a *cli.App, run *adopt.Adopter, o adopt.Options, p *cli.Progress) error {
	counts, err := adopt.Counts{}, error(nil)
	if c.DryRun {
		counts, err = run.Plan(a.Ctx, o, func(adopt.Line) error { return nil })
	}
	var r adopt.FreshReport
	if err == nil {
		r, err = run.StartFresh(a.Ctx, c.DryRun, c.Why, o)
	}
	p.End()
	if printErr := c.printFresh(a.Out, r, counts); printErr != nil {
		return printErr
	}
	if err == nil && len(r.Refused) > 0 {
		return cli.Left(len(r.Refused), "refused line")
	}
	return err
}

func (c adoptCmd) printFresh(out io.Writer, r adopt.FreshReport, counts adopt.Counts) error {
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
	if c.DryRun {
		for _, by := range places(counts) {
			fmt.Fprintf(&b, "%d of %d have a user by %s: symbolon adopt --by %s finds it\n", counts.Places[by], counts.Undecided, by, by)
		}
		fmt.Fprintf(&b, "nothing was changed: these identities would get new users, and so would %d identities without a user at their next request\n", counts.Undecided)
		b.WriteString("next: symbolon adopt --start-fresh\n")
	} else if r.Settled {
		fmt.Fprintf(&b, "%d got a new user; everybody else without a user gets one at the next request\nnext: symbolon serve\n", r.Done)
	}
	_, err := io.WriteString(out, b.String())
	return err
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

// printNext says which command comes after the plan.
func (c adoptCmd) printNext(a *cli.App, s *system.System, out io.Writer, counts adopt.Counts) error {
	if c.JSON {
		return nil
	}
	start, err := s.Store.FindStart(a.Ctx, s.Config.Ory.Project)
	if err != nil && !errors.Is(err, symbolon.ErrNotFound) {
		return err
	}
	_, err = fmt.Fprintf(out, "next: %s\n", c.next(counts, start.Settled()))
	return err
}

func (c adoptCmd) next(counts adopt.Counts, settled bool) string {
	better, file := places(counts), "plan.csv"
	written := slices.IndexFunc(c.Plan, func(name string) bool { return name != "-" })
	switch {
	case counts.Bind > 0 && written >= 0:
		return "read the plan, then symbolon adopt --apply " + cli.Plain(c.Plan[written])
	case counts.Identities == 0 && !settled:
		return "symbolon adopt --start-fresh"
	case counts.Bind == 0 && len(better) == 0 && !settled && counts.Users > counts.Lines[adopt.Linked]:
		return "symbolon adopt --by PLACE, if a place names users; symbolon adopt --start-fresh --dry-run, if nobody at Ory has a row"
	case counts.Bind == 0 && len(better) == 0 && counts.Lines[adopt.Ambiguous] > 0:
		return "symbolon bind IDENTITY USER for each ambiguous line"
	case counts.Bind == 0 && len(better) == 0:
		return "symbolon serve"
	}
	var by []string
	for _, place := range c.By {
		by = append(by, " --by "+string(place))
	}
	if counts.Bind == 0 || len(c.By) == 0 {
		for _, place := range better[:min(1, len(better))] {
			by = append(by, " --by "+string(place))
		}
	}
	return "symbolon adopt" + strings.Join(by, "") + " --plan " + file
}
