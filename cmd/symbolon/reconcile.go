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
	"github.com/symbolon-id/symbolon/internal/wait"
	"github.com/symbolon-id/symbolon/reconcile"
)

type reconcileCmd struct {
	DryRun       bool                   `xor:"what" help:"Write nothing anywhere. The default."`
	Repair       bool                   `xor:"what" help:"Repair the differences that can be repaired, and record the others as findings."`
	Resume       bool                   `xor:"what" help:"Continue a repair whose process was killed, or begin one if there is no such repair."`
	Only         []symbolon.FindingKind `placeholder:"KIND" help:"Report and repair only these kinds of differences, separated by commas."`
	AllowMissing int                    `placeholder:"N" help:"After many deletions: accept a listing in which up to N linked identities are missing. Default: ten, or one percent of the linked identities if that is more."`
	Load         string                 `placeholder:"SHARE" help:"The share of Ory's rate limit that the run may use, such as 50%. 100%: the whole limit, without pauses. Default: reconcile.load."`
	JSON         bool                   `name:"json" help:"Print one JSON object per line: every difference, then the summary."`
}

func (reconcileCmd) Help() string {
	return `Compares every identity at Ory with the ledger and the users' rows. A repair makes the missing users, writes stale columns, gives recreated identities their users back, and applies users.on_identity_deleted to the rows of deleted identities. Other differences are reported and recorded. An identity that is not in the listing counts as deleted only after Ory has answered 404 twice, deletion.proof_gap apart. A listing that is incomplete or implausible changes nothing. The command can run while the server runs, and can be repeated at any time.

	symbolon reconcile
	symbolon reconcile --repair --only unlinked_identity
	symbolon reconcile --resume

Exit codes: 0 no differences are left, 3 differences are left, 1 it failed, 2 wrong usage or configuration.`
}

// Run compares, repairs and reports.
func (c reconcileCmd) Run(a *cli.App) error {
	for _, kind := range c.Only {
		if !slices.Contains(reconcile.Kinds(), kind) {
			return cli.Usage(cli.Hint(fmt.Errorf("%q is not a kind of difference", cli.Plain(cli.Clip(string(kind), 64))), "the kinds: %s", system.KindNames()))
		}
	}
	return system.UseAdmin(a, "reconcile lists all identities, which needs Ory's admin API", func(s *system.System) error {
		return c.reconcile(a, s)
	})
}

func (c reconcileCmd) reconcile(a *cli.App, s *system.System) error {
	ctx, err := c.paced(a.Ctx, s)
	if err != nil {
		return err
	}
	p := a.NewProgress()
	repair := c.Repair || c.Resume
	report, err := c.run(ctx, a.Err, s.Reconciler(), reconcile.Options{Repair: repair, Rebind: repair, Resume: c.Resume, Only: c.Only,
		AllowMissing: c.AllowMissing, Progress: reconcileProgress(p)})
	p.End()
	if f, startErr := s.NotAdopted(a.Ctx); startErr == nil && f != nil && report.Found != nil && (len(c.Only) == 0 || slices.Contains(c.Only, f.Kind)) {
		report.Found[f.Kind]++
		report.Findings = append(report.Findings, reconcile.Finding{Kind: f.Kind, Detail: f.Detail})
	}
	if printErr := c.print(a.Out, report); printErr != nil {
		return printErr
	}
	return concludeReconcile(report, err)
}

// paced returns the context of a run that uses no more than its share of Ory's rate limit.
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

// run waits, with --resume, until the lease of a killed run has ended.
func (c reconcileCmd) run(ctx context.Context, out io.Writer, r *reconcile.Reconciler, o reconcile.Options) (reconcile.Report, error) {
	for until := time.Now().Add(reconcile.DefaultLease + 5*time.Second); ; {
		report, err := r.Run(ctx, o)
		if !c.Resume || !errors.Is(err, reconcile.ErrBusy) || time.Now().After(until) || ctx.Err() != nil {
			return report, err
		}
		_, _ = fmt.Fprintf(out, "symbolon: waiting: %v\n", err)
		_ = wait.For(ctx, 5*time.Second)
	}
}

func concludeReconcile(report reconcile.Report, err error) error {
	const stay = "the repairs that were made are kept; run it again, or continue with --resume"
	if err == nil && report.Left() > 0 {
		return cli.Left(report.Left(), "difference")
	}
	return cli.Advise(err,
		cli.Advice{For: reconcile.ErrImplausible, Hint: "nothing was changed; check that this is the right Ory project; after many deletions, --allow-missing N accepts the listing"},
		cli.Advice{For: reconcile.ErrBusy, Hint: "the lease of a killed run ends after half a minute; `symbolon reconcile --resume` waits for that and continues"},
		cli.Advice{For: symbolon.ErrUnavailable, Hint: stay},
		cli.Advice{For: reconcile.ErrIncomplete, Hint: stay})
}

// difference is a finding as --json prints it.
type difference struct {
	Kind     symbolon.FindingKind `json:"kind"`
	Identity symbolon.IdentityID  `json:"identity"`
	User     symbolon.UserID      `json:"user,omitempty"`
	Detail   string               `json:"detail"`
	Repair   string               `json:"repair,omitempty"`
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
	return e.Encode(map[string]system.RunSummary{"summary": system.SummaryOf(r)})
}

// printWords prints the counts of each kind, what a repair does about it, and the first few.
func (c reconcileCmd) printWords(out io.Writer, r reconcile.Report) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name string, n int, words string) { _, _ = fmt.Fprintf(w, "%s\t%d\t%s\n", name, n, words) }
	whole := "all identities at Ory"
	if !r.Complete {
		whole = "NOT all: the listing is incomplete or implausible"
	}
	line("identities", r.Identities, whole)
	line("linked", r.Linked, "entries of the ledger with a user")
	line("without back-reference", r.NoBackReference, "the user's ID is not at Ory; nothing depends on it")
	for _, kind := range reconcile.Kinds() {
		if n := r.Repaired[kind]; n > 0 {
			line("repaired "+string(kind), n, "")
		}
	}
	if r.Denied+r.Failed > 0 {
		line("denied", r.Denied, "identities that are on hold, or whose user is deleted")
		line("failed", r.Failed, "the next run tries again")
	}
	for _, kind := range reconcile.Kinds() {
		n := r.Found[kind]
		if n == 0 {
			continue
		}
		words := "a repair changes nothing; the operator must decide"
		few := slices.DeleteFunc(slices.Clone(r.Findings), func(f reconcile.Finding) bool { return f.Kind != kind })
		if len(few) > 0 && few[0].Repair != "" {
			words = "a repair " + few[0].Repair
		}
		line("left "+string(kind), n, words)
		for _, f := range few[:min(len(few), 5)] { // --json prints all
			_, _ = fmt.Fprintf(w, "  %s\t\t%s\n", f.Identity, cli.Plain(f.Detail))
		}
	}
	return w.Flush()
}

// reconcileProgress shows how far a run is.
func reconcileProgress(line *cli.Progress) func(reconcile.Progress) {
	return func(s reconcile.Progress) {
		text := fmt.Sprintf("%d identities, %.0f/s, %s, %d repaired", s.Identities, s.Rate, cli.Count(s.Differences, "difference"), s.Repaired)
		if s.Left > 0 {
			text += fmt.Sprintf(", about %s left", s.Left.Round(time.Second))
		}
		line.Show(string(s.Phase), s.Elapsed, text)
	}
}
