package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/link"
)

type mergeCmd struct {
	From   string `arg:"" help:"The user that ends: the key of its row."`
	Into   string `arg:"" optional:"" help:"The user that stays."`
	DryRun bool   `help:"Print what would be done. Nothing is changed."`
	Undo   bool   `help:"Undo the merge of FROM. INTO is left out."`
	Why    string `placeholder:"TEXT" help:"A reason, which is kept permanently in the history: a ticket's number, never the person's name."`
}

func (mergeCmd) Help() string {
	return `Unites two users of one person. FROM ends, and its identity signs in as INTO. The row of FROM stays, deactivated and without an identity, for the tables that refer to it. Move your own data from FROM to INTO before you run the command. Nothing is written at Ory.

	symbolon merge 43 42 --dry-run
	symbolon merge 43 42 --why "ticket 8812"
	symbolon merge 43 --undo`
}

// Run merges, or undoes a merge.
func (c mergeCmd) Run(a *cli.App) error {
	switch {
	case c.Undo && c.Into != "":
		return cli.Usage(errors.New("--undo needs only the user that was merged"))
	case !c.Undo && c.Into == "":
		return cli.Usage(cli.Hint(errors.New("expected \"<into>\" or --undo"), "symbolon merge --help explains both"))
	}
	for _, user := range []string{c.From, c.Into} {
		if p := system.CheckBind(symbolon.UserID(user), c.Why); p != nil && (user != "" || !c.Undo) {
			return cli.Usage(errors.New(p.Message))
		}
	}
	return system.UseAdmin(a, "a merge reads both identities at Ory", func(s *system.System) error { return c.merge(a, s) })
}

func (c mergeCmd) merge(a *cli.App, s *system.System) error {
	ctx, cancel := context.WithTimeout(a.Ctx, system.OperatorTimeout)
	defer cancel()
	from, o := symbolon.UserID(c.From), link.MergeOptions{Why: c.Why, DryRun: c.DryRun}
	var m link.Merged
	var err error
	if c.Undo {
		m, err = s.Linker.Unmerge(ctx, from, o)
	} else {
		m, err = s.Linker.Merge(ctx, from, symbolon.UserID(c.Into), o)
	}
	if err != nil {
		return cli.Advise(err,
			cli.Advice{For: symbolon.ErrConflict, Hint: "nothing was changed; `symbolon show ID` shows each side"},
			cli.Advice{For: symbolon.ErrUnavailable, Hint: "it is not known whether it was done; run the command again, because a repetition does no harm"})
	}
	if err := s.Linker.Close(ctx); err != nil {
		return err
	}
	return c.print(a.Out, m)
}

func (c mergeCmd) print(out io.Writer, m link.Merged) error {
	from, into := cli.Plain(string(m.From)), cli.Plain(string(m.Into))
	words := fmt.Sprintf("user %s is merged into user %s: identity %s signs in as user %s", from, into, m.Identity, into)
	switch {
	case c.Undo && c.DryRun:
		words = fmt.Sprintf("identity %s would sign in as user %s again, and no longer as user %s", m.Identity, from, into)
	case c.Undo:
		words = fmt.Sprintf("the merge is undone: identity %s signs in as user %s again", m.Identity, from)
	case m.Done:
		words = fmt.Sprintf("user %s was merged into user %s before", from, into)
	case c.DryRun:
		words = fmt.Sprintf("user %s would end, and identity %s would sign in as user %s", from, m.Identity, into)
	}
	if _, err := fmt.Fprintln(out, words); err != nil {
		return err
	}
	for _, id := range m.Further {
		if _, err := fmt.Fprintf(out, "further identity %s goes with it\n", id); err != nil {
			return err
		}
	}
	return nil
}
