package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/erase"
	"github.com/symbolon-id/symbolon/link"
)

type eraseCmd struct {
	ID     string        `arg:"" optional:"" help:"The user's ID or the identity's."`
	Row    string        `placeholder:"POLICY" help:"What happens to the user's row: anonymise or delete. Default: users.on_identity_deleted if it is one of the two, else anonymise."`
	Why    string        `placeholder:"TEXT" help:"A reason, which is kept permanently: a ticket's number, never the person's name."`
	DryRun bool          `help:"Print what would be done to each half, and do nothing."`
	Yes    bool          `help:"Do not ask for confirmation."`
	Resume bool          `help:"Continue all erasures that are not done."`
	Wait   time.Duration `default:"30s" help:"How long to retry while Ory or the database does not answer."`
	JSON   bool          `name:"json" help:"Print one JSON object per line."`
}

func (eraseCmd) Help() string {
	return `Erases a person permanently. First, the person is denied access. Then the sessions are revoked and the identity is deleted at Ory, the row is anonymised or deleted, and Symbolon's own records are cleared. The two IDs are kept, so that the person is never linked again. The evidence is kept too. See docs/erase.md.

Each step is recorded before the next begins. After an interruption the server continues, or --resume does.

	symbolon erase 42 --dry-run
	symbolon erase 42 --why "ticket 8812"
	symbolon erase --resume

Exit codes: 0 it is done, 1 it failed or is not done yet, 2 wrong usage or configuration.`
}

// Run erases.
func (c eraseCmd) Run(a *cli.App) error {
	if err := c.check(); err != nil {
		return err
	}
	return system.UseAdmin(a, "erase deletes the identity, which needs Ory's admin API", func(s *system.System) error {
		return c.erase(a, s)
	})
}

func (c eraseCmd) erase(a *cli.App, s *system.System) error {
	e := s.Erasures()
	if c.Resume {
		return c.resume(a, e)
	}
	request := erase.Request{ID: c.ID, Row: symbolon.RowPolicy(c.Row), Why: c.Why}
	plan, err := e.Plan(a.Ctx, request)
	if err != nil {
		return explainErase(err, c.ID, s.Config.Ory.Project)
	}
	if c.DryRun {
		return c.printPlan(a.Out, plan)
	}
	if err := c.confirm(a, plan); err != nil {
		return err
	}
	begun, err := e.Begin(a.Ctx, request)
	if errors.Is(err, symbolon.ErrUnavailable) {
		return cli.Hint(err, "it is not known whether the erasure was recorded; run the same command again")
	}
	if err != nil {
		return explainErase(err, c.ID, s.Config.Ory.Project)
	}
	return c.finish(a, e, begun)
}

func (c eraseCmd) check() error {
	switch {
	case c.Resume && (c.ID != "" || c.Row != "" || c.Why != "" || c.DryRun || c.Yes):
		return cli.Usage(errors.New("--resume continues erasures with their own options; it can be combined with --wait and --json only"))
	case !c.Resume && c.ID == "":
		return cli.Usage(errors.New("expected the ID of a user or an identity, or --resume"))
	case c.Row != "" && c.Row != string(symbolon.AnonymiseRow) && c.Row != string(symbolon.DeleteRow):
		return cli.Usage(errors.New("--row must be anonymise or delete: any other policy would keep personal data"))
	case link.CheckWhy(c.Why) != nil:
		return cli.Usage(link.CheckWhy(c.Why))
	}
	return nil
}

func explainErase(err error, id, project string) error {
	switch {
	case errors.Is(err, erase.ErrRequest):
		return cli.Usage(err)
	case errors.Is(err, symbolon.ErrNotFound):
		return cli.Hint(fmt.Errorf("neither Symbolon nor Ory knows %s", cli.Plain(cli.Clip(id, 64))), "is this the right Ory project? ory.project is %q", project)
	}
	return cli.Advise(err,
		cli.Advice{For: symbolon.ErrConflict, Hint: "nothing was changed; `symbolon show ID` shows both sides"},
		cli.Advice{For: symbolon.ErrUnavailable, Hint: "nothing was recorded or changed; try again"})
}

// confirm asks the operator to type the user's ID. Without a terminal, --yes is needed.
func (c eraseCmd) confirm(a *cli.App, p erase.Plan) error {
	if c.Yes || p.Earlier != nil {
		return nil
	}
	in, ok := a.In.(io.Writer) // a file
	if !ok || !cli.IsTerminal(in) {
		return cli.Usage(cli.Hint(errors.New("erase asks for confirmation, but the input is not a terminal"), "use --dry-run first, then --yes"))
	}
	return c.ask(a, p)
}

func (c eraseCmd) ask(a *cli.App, p erase.Plan) error {
	if err := c.printPlan(a.Err, p); err != nil {
		return err
	}
	want := cmp.Or(string(p.User), string(p.Identity))
	_, _ = fmt.Fprintf(a.Err, "\nThis cannot be undone. To erase this person, type the ID %s: ", cli.Plain(want))
	line, _ := bufio.NewReader(a.In).ReadString('\n')
	if strings.TrimSpace(line) != want {
		return errors.New("that is not the ID: nothing was changed")
	}
	return nil
}

func (c eraseCmd) finish(a *cli.App, e *erase.Erasures, begun symbolon.Erasure) error {
	var err error
	if !begun.Done() {
		ctx, cancel := context.WithTimeout(a.Ctx, c.Wait)
		defer cancel()
		var now symbolon.Erasure
		if now, err = e.Finish(ctx, begun.ID); now.ID != "" {
			begun = now
		}
	}
	if printErr := c.printErasure(a.Out, begun); printErr != nil {
		return printErr
	}
	switch {
	case err != nil:
		return cli.Hint(err, "the erasure is recorded; the server or `symbolon erase --resume` continues it")
	case begun.Step == erase.StepWithdrawn:
		return cli.Hint(errors.New("the erasure was withdrawn, because the link changed before the erasure began"), "`symbolon show ID` shows both halves")
	}
	return nil
}

func (c eraseCmd) resume(a *cli.App, e *erase.Erasures) error {
	list, err := e.Unfinished(a.Ctx)
	if err != nil {
		return err
	}
	var faults []error
	for _, begun := range list {
		faults = append(faults, c.finish(a, e, begun))
	}
	if len(list) == 0 && !c.JSON {
		_, err = fmt.Fprintln(a.Out, "nothing is left to do")
	}
	return errors.Join(append(faults, err)...)
}

func (c eraseCmd) printErasure(out io.Writer, e symbolon.Erasure) error {
	if c.JSON {
		return json.NewEncoder(out).Encode(system.ErasureOf(e))
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	printErasure(w, system.ErasureOf(e))
	return w.Flush()
}

// printErasure prints the steps that are done, and the next one.
func printErasure(w io.Writer, e *system.Erasure) {
	state := "UNDER WAY, next step: " + string(e.Step)
	if e.DoneAt != nil {
		state = string(e.Step) + " " + stamp(*e.DoneAt)
	}
	_, _ = fmt.Fprintf(w, "erasure\t%s\t%s\n", e.ID, state)
	for _, n := range e.Evidence {
		_, _ = fmt.Fprintf(w, "  %s\t%s\t%s\n", stamp(n.At), n.Step, cli.Plain(n.Outcome))
	}
	if e.LastError != "" {
		_, _ = fmt.Fprintf(w, "  failed %s\t%s\t%s\n", cli.Count(e.Attempts, "time"), e.Step, cli.Plain(e.LastError))
	}
}

func (c eraseCmd) printPlan(out io.Writer, p erase.Plan) error {
	if c.JSON {
		return json.NewEncoder(out).Encode(system.PlannedErasureOf(p))
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(half, id, words string) { _, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", half, cli.Plain(id), words) }
	line("identity", value(string(p.Identity)), identityFate(p))
	for _, id := range p.Further {
		line("identity", string(id), "a further identity of the user: denied here at once; deleted at Ory as well")
	}
	line("user", value(string(p.User)), rowFate(p))
	for _, b := range p.Behind {
		line("user", string(b.User), "a move left its row without an identity: "+rowFate(erase.Plan{User: b.User, Row: p.Row, Application: p.Application, Exists: true, Columns: b.Columns}))
	}
	line("Symbolon", "", "texts (the details of events and findings), digests and back-references in its own tables are cleared; kinds, times and the two IDs are kept, so that the person is never linked again")
	if p.Earlier != nil {
		line("", "", "")
		printErasure(w, system.ErasureOf(*p.Earlier))
		line("", "", "this erasure exists already; no new one would be started")
	}
	return w.Flush()
}

func identityFate(p erase.Plan) string {
	switch {
	case p.Former != "":
		return fmt.Sprintf("the user has no identity; nothing is done at Ory; identity %s had the user last, and is erased only by its own ID", p.Former)
	case p.Identity == "":
		return "the user has no identity; nothing is done at Ory"
	case p.AtOry == "gone":
		return "denied here at once; Ory no longer has the identity"
	case p.AtOry == "unavailable":
		return "denied here at once; Ory does not answer now; when it answers, the sessions are revoked and the identity is deleted at Ory"
	}
	return "denied here at once; its sessions are revoked, and it is deleted at Ory with its credentials and traits"
}

func rowFate(p erase.Plan) string {
	switch {
	case p.User == "":
		return "the identity has no user"
	case p.Application:
		return "its ID is retired; the row belongs to the application (users.create_url) and is not changed"
	case !p.Exists:
		return "its ID is retired; there is no row"
	case p.Row == symbolon.DeleteRow:
		return "its ID is retired; its row is deleted"
	case len(p.Columns) == 0:
		return "its ID is retired; its row is kept, and has no columns to empty"
	}
	return "its ID is retired; its row is kept, and these columns are emptied: " + strings.Join(p.Columns, ", ")
}
