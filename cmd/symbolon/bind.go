package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/internal/answer"
)

type bindCmd struct {
	Identity string `arg:"" help:"The identity's ID."`
	User     string `arg:"" help:"The user's ID: the key of its row."`
	Move     bool   `help:"Take the user away from another living identity, or the identity from the user it has."`
	Why      string `placeholder:"TEXT" help:"Kept in the history."`
}

func (bindCmd) Help() string {
	return `Binds an identity to a user that exists: your word, above all evidence. It settles what was on hold. Where a bond of a living identity stands in the way nothing is changed, unless --move says so.

	symbolon bind 018f2d5e-7c1a-4f3e-9b57-1c2d3e4f5a6b 42 --why "ticket 8812"`
}

// Run binds.
func (c bindCmd) Run(a *cli.App) error {
	id, err := symbolon.ParseIdentityID(c.Identity)
	if err != nil {
		return cli.Usage(err)
	}
	user := symbolon.UserID(c.User)
	if err := system.CheckBind(user, c.Why); err != nil {
		var p *answer.Problem
		errors.As(err, &p)
		return cli.Usage(errors.New(p.Message))
	}
	s, err := system.Open(a)
	if err != nil {
		return err
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(a.Ctx, system.OperatorTimeout)
	defer cancel()
	link, err := s.Linker.Bind(ctx, id, user, symbolon.BindOptions{Move: c.Move, Why: c.Why})
	if err != nil {
		return explainBind(err)
	}
	if err := s.Linker.Close(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.Out, "identity %s is bound to user %s\n", link.Identity, cli.Plain(string(link.User)))
	return err
}

func explainBind(err error) error {
	switch {
	case errors.Is(err, symbolon.ErrConflict):
		return cli.Hint(err, "nothing was changed; `symbolon show ID` shows both sides")
	case errors.Is(err, symbolon.ErrUnavailable):
		return cli.Hint(err, "whether it was done is not known; try again, nothing is done twice")
	}
	return err
}
