package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/reconcile"
)

type reconcileCmd struct {
	DryRun       bool     `xor:"what" help:"Write nothing anywhere. The default."`
	Repair       bool     `xor:"what" help:"Repair what can be repaired, and record the other differences as findings."`
	Resume       bool     `xor:"what" help:"Go on with a repair that died, where it was; where none did, begin one."`
	Only         []string `placeholder:"KIND" help:"Only these kinds of differences, separated by commas."`
	AllowMissing int      `placeholder:"N" help:"Believe a listing in which up to N linked identities are missing: after a great deletion. Default ten, or one in a hundred."`
	Load         string   `placeholder:"SHARE" help:"How much of what Ory gives it takes, such as 50%. 100%: all of it, and no waiting. Default: reconcile.load."`
	JSON         bool     `name:"json" help:"Print one JSON object a line: every difference, then the summary."`
}

func (reconcileCmd) Help() string {
	return `Reads every identity at Ory beside the ledger and the users' rows. A repair makes the users of identities that no hook told of, writes columns that are stale, gives identities that were recreated their users back, and lets the rows of users whose identities are gone follow users.on_identity_deleted; all else is reported and recorded. Whoever is not in the listing is touched only after Ory's own 404 was read twice, deletion.proof_gap apart; and a listing that breaks off or cannot be believed touches nobody. It may run beside the server, and again at any time.

	symbolon reconcile
	symbolon reconcile --repair --only unlinked_identity
	symbolon reconcile --resume

Exit codes: 0 nothing is left, 3 differences are left, 1 it failed, 2 wrong usage or configuration.`
}

// Run compares, repairs and reports.
func (c reconcileCmd) Run(a *cli.App) error {
	only, err := c.kinds()
	if err != nil {
		return err
	}
	s, err := system.Open(a)
	if err != nil {
		return err
	}
	defer s.Close()
	if !s.Ory.HasAdmin() {
		return cli.Usage(cli.Hint(errors.New("reconcile lists all identities, which needs Ory's admin API"),
			"set ory.admin_url in the configuration, or SYMBOLON_ORY_ADMIN_URL=http://127.0.0.1:4434"))
	}
	ctx, err := c.paced(a.Ctx, s)
	if err != nil {
		return err
	}
	p := &progressLine{out: a.Err, live: cli.IsTerminal(a.Err)}
	repair := c.Repair || c.Resume
	report, err := c.run(ctx, a.Err, s.Reconciler(), reconcile.Options{Repair: repair, Rebind: repair, Resume: c.Resume, Only: only,
		AllowMissing: c.AllowMissing, Progress: p.show})
	p.end()
	closing, cancel := context.WithTimeout(context.WithoutCancel(a.Ctx), system.OperatorTimeout)
	defer cancel()
	_ = s.Linker.Close(closing) // a back-reference that stays unwritten harms nobody
	if printErr := c.print(a.Out, report); printErr != nil {
		return printErr
	}
	return concludeReconcile(report, err)
}

// paced is the context of a run that takes no more of Ory than it may.
func (c reconcileCmd) paced(ctx context.Context, s *system.System) (context.Context, error) {
	if c.Load != "" {
		share, ok := config.Percent(c.Load)
		if !ok {
			return nil, cli.Usage(errors.New("--load must be a share between 1% and 100%, such as 50%"))
		}
		s.Ory.Load = share
	}
	return system.WithinLoad(ctx, s.Ory.Load), nil
}

// run waits, with --resume, for the end of the lease that a killed run has left.
func (c reconcileCmd) run(ctx context.Context, out io.Writer, r *reconcile.Reconciler, o reconcile.Options) (reconcile.Report, error) {
	for until := time.Now().Add(reconcile.DefaultLease + 5*time.Second); ; {
		report, err := r.Run(ctx, o)
		if !c.Resume || !errors.Is(err, reconcile.ErrBusy) || time.Now().After(until) || ctx.Err() != nil {
			return report, err
		}
		_, _ = fmt.Fprintf(out, "symbolon: waiting: %v\n", err)
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Second):
		}
	}
}

func concludeReconcile(report reconcile.Report, err error) error {
	switch {
	case errors.Is(err, reconcile.ErrImplausible):
		return cli.Hint(err, "nobody was touched; is it the right project? After a great deletion --allow-missing N believes it")
	case errors.Is(err, reconcile.ErrBusy):
		return cli.Hint(err, "a run that was killed keeps others away for half a minute: `symbolon reconcile --resume` goes on with it then")
	case errors.Is(err, symbolon.ErrUnavailable), errors.Is(err, reconcile.ErrIncomplete):
		return cli.Hint(err, "finished repairs stay; run it again, or go on with --resume")
	case err != nil:
		return err
	case report.Left() > 0:
		return cli.Left(report.Left())
	}
	return nil
}

func (c reconcileCmd) kinds() ([]symbolon.FindingKind, error) {
	var only []symbolon.FindingKind
	for _, name := range c.Only {
		kind := symbolon.FindingKind(name)
		if !slices.Contains(reconcile.Kinds(), kind) {
			return nil, cli.Usage(cli.Hint(fmt.Errorf("%q is no kind of difference", cli.Plain(cli.Clip(name, 64))), "the kinds: %s", system.KindNames()))
		}
		only = append(only, kind)
	}
	return only, nil
}

// difference is a finding as --json prints it.
type difference struct {
	Kind     symbolon.FindingKind `json:"kind"`
	Identity symbolon.IdentityID  `json:"identity"`
	User     symbolon.UserID      `json:"user,omitempty"`
	Detail   string               `json:"detail"`
	Repair   string               `json:"repair,omitempty"`
}

// summary is the last object of --json.
type summary struct {
	Summary system.RunSummary `json:"summary"`
}

func (c reconcileCmd) print(out io.Writer, r reconcile.Report) error {
	if !c.JSON {
		return c.printWords(out, r)
	}
	e := json.NewEncoder(out)
	for _, f := range r.Findings {
		if err := e.Encode(difference(f)); err != nil {
			return err
		}
	}
	return e.Encode(summary{system.SummaryOf(r)})
}

// printWords sums up by kind, each with what a repair does and whom it concerns.
func (c reconcileCmd) printWords(out io.Writer, r reconcile.Report) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name string, n int, words string) { _, _ = fmt.Fprintf(w, "%s\t%d\t%s\n", name, n, words) }
	whole := "all that Ory has"
	if !r.Complete {
		whole = "NOT all: the listing broke off or cannot be believed"
	}
	line("identities", r.Identities, whole)
	line("linked", r.Linked, "entries of the ledger with a user")
	line("without back-reference", r.NoBackReference, "the user's ID is not at Ory, which nothing depends on")
	for _, kind := range reconcile.Kinds() {
		if n := r.Repaired[kind]; n > 0 {
			line("repaired "+string(kind), n, "")
		}
	}
	if r.Denied+r.Failed > 0 {
		line("denied", r.Denied, "have no user that could be handed out")
		line("failed", r.Failed, "the next run tries again")
	}
	for _, kind := range reconcile.Kinds() {
		n := r.Found[kind]
		if n == 0 {
			continue
		}
		at := slices.IndexFunc(r.Findings, func(f reconcile.Finding) bool { return f.Kind == kind })
		words := "nothing is done by a repair: an operator settles it"
		if at >= 0 && r.Findings[at].Repair != "" {
			words = "a repair " + r.Findings[at].Repair
		}
		line("left "+string(kind), n, words)
		c.printFew(w, r.Findings, kind)
	}
	return w.Flush()
}

// printFew names the first of a kind; --json names all.
func (reconcileCmd) printFew(w io.Writer, findings []reconcile.Finding, kind symbolon.FindingKind) {
	const few = 5
	n := 0
	for _, f := range findings {
		if f.Kind == kind && n < few {
			_, _ = fmt.Fprintf(w, "  %s\t\t%s\n", f.Identity, cli.Plain(f.Detail))
			n++
		}
	}
}

// progressLine tells how far it is: one line that changes on a terminal, and a line
// every ten seconds elsewhere.
type progressLine struct {
	out  io.Writer
	live bool
	next time.Duration
	last reconcile.Phase
}

func (p *progressLine) show(s reconcile.Progress) {
	text := fmt.Sprintf("%s: %d identities, %.0f/s, %d differences, %d repaired", s.Phase, s.Identities, s.Rate, s.Differences, s.Repaired)
	if s.Left > 0 {
		text += fmt.Sprintf(", about %s left", s.Left.Round(time.Second))
	}
	if p.live {
		_, _ = fmt.Fprintf(p.out, "\r\x1b[K%s", text)
		return
	}
	if s.Phase != p.last {
		p.last, p.next = s.Phase, 10*time.Second
	}
	if s.Elapsed >= p.next {
		_, _ = fmt.Fprintf(p.out, "symbolon: %s\n", text)
		p.next = s.Elapsed + 10*time.Second
	}
}

func (p *progressLine) end() {
	if p.live {
		_, _ = fmt.Fprint(p.out, "\r\x1b[K")
	}
}
