package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/adopt"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/sqlstore"
)

type adoptCmd struct {
	DryRun bool             `help:"Write only the plan. The default."`
	Plan   []string         `placeholder:"FILE" help:"Write the plan to FILE.csv or FILE.json; - is the standard output. May be repeated."`
	By     []symbolon.Proof `placeholder:"PLACE" help:"A place that you trust: there an identity names its user (external_id, metadata_public.KEY), or a row names its identity (column:NAME)."`
	Apply  string           `placeholder:"PLAN" help:"Carry out a plan."`
	Undo   string           `placeholder:"RUN" help:"Undo the links that a run made."`

	StartFresh bool   `help:"Settle the start: nobody who is at Ory has a row. From now on an identity that Symbolon does not know gets a new user. Identities on hold, and those whose row is missing, stay as they are. With --dry-run: only count."`
	Renew      bool   `help:"With --start-fresh, for a database that was made anew: identities on hold, and those whose row is missing, get a new user at once. With --dry-run: only list them."`
	Why        string `placeholder:"TEXT" help:"With --renew: a reason, which is kept permanently in the history."`

	DespiteSessions bool `help:"With --undo: also undo the links of people who have a session from before the link, which the server has seen since or may have seen."`
	JSON            bool `name:"json" help:"Print one JSON object per line."`
}

func (adoptCmd) Help() string {
	return `The plan names the other half of each identity and user, and the evidence for it. Evidence is the ledger, the identity column, a voucher, a place that you name with --by, or, if adopt.verified_email is on, a verified e-mail address. If two pieces of evidence contradict each other, nothing is bound.

	symbolon adopt --by external_id --plan plan.csv     # write the plan, and read it
	symbolon adopt --apply plan.csv                     # each line is checked again first
	symbolon adopt --undo 5f0c2a9be417                  # except for people who have used the link since
	symbolon adopt --start-fresh --dry-run              # nobody has a user from before: how many would get a new one

If your table has rows without an identity when Symbolon starts, identities that are older get no new user until --apply or --start-fresh. The plan counts what places outside of --by would name.

An interrupted run continues when the same command is run again. In a user's row only the identity column is written.

Exit codes: 0 done, 3 done, but you must decide about some lines (ambiguous or refused), 1 it failed, 2 wrong usage or configuration.`
}

// Run makes a plan, applies a plan, or undoes a run.
func (c adoptCmd) Run(a *cli.App) error {
	options, err := c.options()
	if err != nil {
		return err
	}
	work := func(s *system.System) error { return c.adopt(a, s, options) }
	if c.StartFresh && !c.Renew { // a settled start needs nothing from Ory
		return system.Use(a, work)
	}
	return system.UseAdmin(a, "adopt compares all identities, which needs Ory's admin API", work)
}

func (c adoptCmd) adopt(a *cli.App, s *system.System, options adopt.Options) (err error) {
	if s.Config.Users.CreateURL != "" {
		return cli.Usage(cli.Hint(errors.New("adopt compares identities with the rows of your users table, but with users.create_url Symbolon does not know that table"),
			"use `symbolon bind IDENTITY USER` or `symbolon voucher USER` for each person"))
	}
	if err := s.Store.Check(a.Ctx); errors.Is(err, symbolon.ErrUnavailable) {
		return err
	} else if err != nil {
		return cli.Usage(err)
	}
	for _, proof := range options.By {
		if column, ok := proof.Column(); ok {
			if err := s.Store.CheckColumn(a.Ctx, column); err != nil {
				return cli.Usage(err)
			}
		}
	}
	options.Email, options.EmailColumn = s.Config.Adopt.VerifiedEmail, s.Config.EmailColumn()
	p := a.NewProgress()
	options.Progress = adoptProgress(p)
	run := &adopt.Adopter{Linker: s.Linker, Ledger: s.Store, Users: s.Store, Sessions: s.Ory.Sessions, Seen: (&sqlstore.Replicas{Store: s.Store}).SeenSessions,
		Identities: func(ctx context.Context) iter.Seq2[symbolon.Identity, error] {
			return s.Ory.Identities(ctx, ory.ListOptions{})
		}}
	switch {
	case c.Apply != "":
		err = c.apply(a, s, run, options, p)
	case c.Undo != "":
		err = c.undo(a, run, options, p)
	case c.StartFresh:
		err = c.startFresh(a, s, run, options, p)
	default:
		if options.Columns, err = s.IdentityColumns(a.Ctx); err == nil {
			err = c.look(a, s, run, options, p)
		}
	}
	return cli.Advise(err, cli.Advice{For: symbolon.ErrUnavailable, Hint: "the lines that are done are kept; run it again"})
}

// options checks the flags against each other.
func (c adoptCmd) options() (o adopt.Options, err error) {
	plans, applies, undoes := c.DryRun || len(c.Plan) > 0, c.Apply != "", c.Undo != ""
	if c.DespiteSessions && !undoes {
		return o, cli.Usage(errors.New("--despite-sessions has no effect without --undo"))
	}
	if plans && applies || plans && undoes || applies && undoes {
		return o, cli.Usage(errors.New("--apply, --undo and --plan (or --dry-run) cannot be combined"))
	}
	if c.StartFresh && (len(c.Plan) > 0 || applies || undoes || len(c.By) > 0) {
		return o, cli.Usage(errors.New("--start-fresh can be combined with --renew, --dry-run, --why and --json only"))
	}
	if c.Renew && !c.StartFresh {
		return o, cli.Usage(errors.New("--renew has no effect without --start-fresh"))
	}
	if c.Why != "" && !c.Renew {
		return o, cli.Usage(errors.New("--why has no effect without --renew"))
	}
	if err := link.CheckWhy(c.Why); err != nil {
		return o, cli.Usage(err)
	}
	for _, proof := range c.By {
		_, metadata := proof.MetadataKey()
		_, column := proof.Column()
		if err := adopt.CheckProof(proof); err != nil || proof != symbolon.ByExternalID && !metadata && !column {
			return o, cli.Usage(cli.Hint(fmt.Errorf("--by %s is not a place where identities and users name each other", cli.Plain(cli.Clip(string(proof), 64))),
				"use external_id, metadata_public.KEY, or column:NAME"))
		}
	}
	return adopt.Options{By: c.By, DespiteSessions: c.DespiteSessions}, nil
}

// look makes the plan, writes it to the files, and prints the counts.
func (c adoptCmd) look(a *cli.App, s *system.System, run *adopt.Adopter, o adopt.Options, p *cli.Progress) error {
	var files []*planFile
	for _, name := range c.Plan {
		f, err := c.begin(a, name)
		if err != nil {
			return err
		}
		defer f.discard()
		files = append(files, f)
	}
	var bind []adopt.Line
	counts, err := run.Plan(a.Ctx, o, func(l adopt.Line) error {
		if l.Do == adopt.Bind {
			bind = append(bind, l)
		}
		for _, f := range files {
			if err := f.Write(l); err != nil {
				return fmt.Errorf("write the plan: %w", err)
			}
		}
		return nil
	})
	p.End()
	for _, f := range files {
		if err == nil {
			err = f.finish()
		}
	}
	if err != nil {
		return err
	}
	out := a.Out
	if slices.Contains(c.Plan, "-") { // the plan is on the standard output
		out = a.Err
	}
	if err := c.printCounts(out, counts, adopt.RunOf(bind)); err != nil {
		return err
	}
	if err := c.printNext(a, s, out, counts); err != nil {
		return err
	}
	if n := counts.Lines[adopt.Ambiguous]; n > 0 {
		return cli.Left(n, "ambiguous line")
	}
	return nil
}

func (c adoptCmd) printCounts(out io.Writer, counts adopt.Counts, run string) error {
	if c.JSON {
		return json.NewEncoder(out).Encode(map[string]any{"summary": counts, "run": run})
	}
	words := map[adopt.Class]string{
		adopt.Linked:    "the ledger links the two already",
		adopt.Column:    "the row's identity column holds the identity",
		adopt.Voucher:   "the identity carries a voucher for the user",
		adopt.Named:     "in a place given with --by, the identity names the user, or the row names the identity",
		adopt.Email:     "both have the same e-mail address, verified at Ory and by the application",
		adopt.Ambiguous: "the evidence is not sufficient; decide with symbolon bind",
		adopt.Alone:     "there is no evidence of the other half",
	}
	var b strings.Builder
	fmt.Fprintf(&b, "identities  %8d\nusers       %8d\n", counts.Identities, counts.Users)
	for _, class := range adopt.Classes() {
		if n := counts.Lines[class]; n > 0 {
			fmt.Fprintf(&b, "%-11s %8d  %s\n", class, n, words[class])
		}
	}
	fmt.Fprintf(&b, "%d to be bound", counts.Bind)
	if counts.Bind > 0 {
		fmt.Fprintf(&b, ", by run %s", run)
	}
	b.WriteString("\n")
	if counts.NotEligible > 0 {
		fmt.Fprintf(&b, "not eligible: %d of %d, because users.when does not admit them; they get no new user\n", counts.NotEligible, counts.Undecided)
	}
	writeUnused(&b, counts)
	_, err := io.WriteString(out, b.String())
	return err
}

func (c adoptCmd) apply(a *cli.App, s *system.System, run *adopt.Adopter, o adopt.Options, p *cli.Progress) error {
	f, err := os.Open(c.Apply)
	if err != nil {
		return cli.Usage(fmt.Errorf("read the plan: %w", err))
	}
	defer f.Close()
	lines, err := adopt.Read(f)
	if err != nil {
		return cli.Usage(cli.Hint(fmt.Errorf("%s: %w", c.Apply, err), "nothing was changed; `symbolon adopt --plan plan.csv` writes a plan"))
	}
	for _, l := range lines {
		if l.By == symbolon.ByVerifiedEmail && !o.Email {
			return cli.Usage(cli.Hint(errors.New("the plan binds by e-mail addresses, but adopt.verified_email is off"), "nothing was changed"))
		}
	}
	report, err := run.Apply(a.Ctx, lines, o)
	p.End()
	if err := c.conclude(a.Out, report, "bound", err); err != nil || c.JSON {
		return err
	}
	if !slices.ContainsFunc(lines, func(l adopt.Line) bool { return l.Do == adopt.Bind }) {
		return c.printNothing(a, s)
	}
	return nil
}

// printNothing says what a plan without a line to bind means.
func (c adoptCmd) printNothing(a *cli.App, s *system.System) error {
	settled, err := isSettled(a, s)
	if err != nil {
		return err
	}
	text := "the plan has no line to bind, so nothing was changed\nnext: symbolon serve\n"
	if !settled {
		text = "the plan has no line to bind, so nothing was changed: the start stays unsettled, and ambiguous identities were not put on hold\nnext: symbolon adopt\n"
	}
	_, err = io.WriteString(a.Out, text)
	return err
}

func (c adoptCmd) undo(a *cli.App, run *adopt.Adopter, o adopt.Options, p *cli.Progress) error {
	report, err := run.Undo(a.Ctx, c.Undo, o)
	p.End()
	if errors.Is(err, adopt.ErrNoRun) {
		return cli.Hint(err, "`symbolon adopt` prints the name of the run with the plan, and again after --apply")
	}
	return c.conclude(a.Out, report, "undone", err)
}

// conclude prints the report of a run: first the refused lines, each with its reason.
func (c adoptCmd) conclude(out io.Writer, r adopt.Report, done string, err error) error {
	if printErr := c.printReport(out, r, done); printErr != nil {
		return printErr
	}
	older := slices.ContainsFunc(r.Refused, func(f adopt.Refusal) bool { return strings.Contains(f.Why, adopt.OlderSession) })
	if err == nil && older {
		return cli.Hint(cli.Left(len(r.Refused), "refused line"), "--despite-sessions also undoes the links of people with a session from before the link")
	}
	if err == nil && len(r.Refused) > 0 {
		return cli.Left(len(r.Refused), "refused line")
	}
	return err
}

func (c adoptCmd) printReport(out io.Writer, r adopt.Report, done string) error {
	e := json.NewEncoder(out)
	for _, refused := range r.Refused {
		var err error
		if c.JSON {
			err = e.Encode(map[string]adopt.Refusal{"refused": refused})
		} else {
			_, err = fmt.Fprintf(out, "refused: identity %s, user %s: %s\n", refused.Identity, cli.Plain(string(refused.User)), cli.Plain(refused.Why))
		}
		if err != nil {
			return err
		}
	}
	if c.JSON {
		return e.Encode(map[string]any{"summary": map[string]any{"run": r.Run, done: r.Done, "before": r.Before, "refused": len(r.Refused), "failed": r.Failed, "held": r.Held, "settled": r.Settled}})
	}
	if r.Held > 0 {
		_, err := fmt.Fprintf(out, "put on hold, because the plan does not settle them: %d; symbolon bind IDENTITY USER or symbolon bind IDENTITY --new decides each\n", r.Held)
		if err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "run %s: %d %s, %d already done, %d refused, %d failed\n", r.Run, r.Done, done, r.Before, len(r.Refused), r.Failed)
	if err == nil && r.Settled {
		_, err = io.WriteString(out, "next: symbolon serve: everybody else gets a new user\n")
	}
	return err
}
