package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/reconcile"
)

type reconcileCmd struct {
	Repair       bool     `help:"Mend what can be mended. Without it nothing is written anywhere."`
	Only         []string `placeholder:"KIND" help:"Only these kinds of differences, separated by commas."`
	AllowMissing int      `placeholder:"N" help:"Believe a listing in which up to N linked identities are missing: after a great deletion. Default ten, or one in a hundred."`
	JSON         bool     `name:"json" help:"Print one JSON object a line: every difference, then the summary."`
}

func (reconcileCmd) Help() string {
	return `Reads every identity at Ory beside the ledger and the users' rows. It makes the users of identities that no hook told of, and writes columns that are stale; all else is reported. Nobody is ever unlinked or deleted, and a listing that breaks off or cannot be believed touches nobody. It may run beside the server, and again at any time.

	symbolon reconcile
	symbolon reconcile --repair --only unlinked_identity

Exit codes: 0 nothing is left, 3 differences are left, 1 it failed, 2 wrong usage or configuration.`
}

// Run compares, mends and reports.
func (c reconcileCmd) Run(a *app) error {
	only, err := c.kinds()
	if err != nil {
		return err
	}
	s, err := a.open()
	if err != nil {
		return err
	}
	defer s.close()
	if !s.ory.HasAdmin() {
		return usage(hint(errors.New("reconcile lists all identities, which needs Ory's admin API"),
			"set ory.admin_url in the configuration, or SYMBOLON_ORY_ADMIN_URL=http://127.0.0.1:4434"))
	}
	p := &progressLine{out: a.err, live: isTerminal(a.err)}
	r := &reconcile.Reconciler{Linker: s.linker, Ledger: s.store, Identities: func(ctx context.Context) iter.Seq2[symbolon.Identity, error] {
		return s.ory.Identities(ctx, ory.ListOptions{})
	}}
	report, err := r.Run(a.ctx, reconcile.Options{Repair: c.Repair, Only: only, AllowMissing: c.AllowMissing, Progress: p.show})
	p.end()
	closing, cancel := context.WithTimeout(context.WithoutCancel(a.ctx), operatorPatience)
	defer cancel()
	_ = s.linker.Close(closing) // a back-reference that stays unwritten harms nobody
	if printErr := c.print(a.out, report); printErr != nil {
		return printErr
	}
	return concludeReconcile(report, err)
}

func concludeReconcile(report reconcile.Report, err error) error {
	switch {
	case errors.Is(err, reconcile.ErrImplausible):
		return hint(err, "nobody was touched; is it the right project? After a great deletion --allow-missing N believes it")
	case errors.Is(err, symbolon.ErrUnavailable), errors.Is(err, reconcile.ErrIncomplete):
		return hint(err, "what was mended stays; run it again")
	case err != nil:
		return err
	case report.Left() > 0:
		return &leftError{report.Left()}
	}
	return nil
}

func (c reconcileCmd) kinds() ([]symbolon.FindingKind, error) {
	var only []symbolon.FindingKind
	for _, name := range c.Only {
		kind := symbolon.FindingKind(name)
		if !slices.Contains(reconcile.Kinds(), kind) {
			return nil, usage(hint(fmt.Errorf("%q is no kind of difference", plain(clip(name, 64))), "the kinds: %s", kindNames()))
		}
		only = append(only, kind)
	}
	return only, nil
}

func kindNames() string {
	var names []string
	for _, k := range reconcile.Kinds() {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
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
	Summary struct {
		Complete        bool                         `json:"complete"`
		Identities      int                          `json:"identities"`
		Linked          int                          `json:"linked"`
		Forgotten       int                          `json:"forgotten"`
		NoBackReference int                          `json:"no_back_reference"`
		Left            map[symbolon.FindingKind]int `json:"left"`
		Mended          map[symbolon.FindingKind]int `json:"mended"`
		Denied          int                          `json:"denied"`
		Failed          int                          `json:"failed"`
	} `json:"summary"`
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
	var s summary
	s.Summary.Complete, s.Summary.Identities, s.Summary.Linked = r.Complete, r.Identities, r.Linked
	s.Summary.Forgotten, s.Summary.NoBackReference = r.Forgotten, r.NoBackReference
	s.Summary.Left, s.Summary.Mended, s.Summary.Denied, s.Summary.Failed = r.Found, r.Mended, r.Denied, r.Failed
	return e.Encode(s)
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
		if n := r.Mended[kind]; n > 0 {
			line("mended "+string(kind), n, "")
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
			_, _ = fmt.Fprintf(w, "  %s\t\t%s\n", f.Identity, plain(f.Detail))
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
	text := fmt.Sprintf("%s: %d identities, %.0f/s, %d differences, %d mended", s.Phase, s.Identities,
		float64(s.Identities)/max(s.Elapsed.Seconds(), 0.001), s.Differences, s.Mended)
	if s.Share > 0.01 && s.Share < 1 {
		left := time.Duration(float64(s.Elapsed) * (1 - s.Share) / s.Share)
		text += fmt.Sprintf(", about %s left", left.Round(time.Second))
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
