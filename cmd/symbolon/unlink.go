package main

import (
	"context"
	"fmt"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/link"
)

type unlinkCmd struct {
	Identity string `arg:"" help:"The further identity's ID."`
	Why      string `placeholder:"TEXT" help:"A reason, which is kept permanently in the history: a ticket's number, never the person's name."`
}

func (unlinkCmd) Help() string {
	return `Takes a further identity from its user. The identity is on hold afterwards, until symbolon bind gives it a user. The user's primary identity cannot be taken away in this way.

	symbolon unlink 018f2d5e-7c1a-4f3e-9b57-1c2d3e4f5a6b --why "ticket 8812"`
}

// Run takes an identity from its user.
func (c unlinkCmd) Run(a *cli.App) error {
	id, err := symbolon.ParseIdentityID(c.Identity)
	if err != nil {
		return cli.Usage(err)
	}
	if err := link.CheckWhy(c.Why); err != nil {
		return cli.Usage(err)
	}
	return system.Use(a, func(s *system.System) error {
		ctx, cancel := context.WithTimeout(a.Ctx, system.OperatorTimeout)
		defer cancel()
		bond, err := s.Linker.Unlink(ctx, id, c.Why)
		if err != nil {
			return cli.Advise(err, cli.Advice{For: symbolon.ErrConflict, Hint: "nothing was changed; `symbolon show ID` shows both sides"})
		}
		_, err = fmt.Fprintf(a.Out, "identity %s has no user any more, and is on hold; `symbolon bind` gives it a user\n", bond.Identity)
		return err
	})
}
