package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
)

type inviteCmd struct {
	User string `arg:"" help:"The user's ID: the key of its row."`
	For  string `placeholder:"TIME" help:"How long the invite is valid, such as 90m, 24h or 7d. At most 30d. Default: 1h."`
	JSON bool   `name:"json" help:"Print the JSON on one line."`
}

func (inviteCmd) Help() string {
	return `Prints an invite. A person who signs up with it gets this existing user instead of a new one, for example a guest or a new colleague. The sign-up form sends it to Ory as transient_payload.symbolon_invite. The invite is valid only while the user has no identity. A sign-up that Ory refuses does not use it up. Anybody who has the invite can use it.

	symbolon invite 42
	symbolon invite 42 --for 7d`
}

// Run prints an invite.
func (c inviteCmd) Run(a *cli.App) error {
	life, err := system.ParseLife(c.For)
	if err != nil {
		return cli.Usage(fmt.Errorf("--for: %w", err))
	}
	return system.Use(a, func(s *system.System) error { return c.invite(a, s, life) })
}

func (c inviteCmd) invite(a *cli.App, s *system.System, life time.Duration) error {
	if !system.Actions(s.Config).Reserves() {
		return errors.New(system.NoReserveHook)
	}
	ctx, cancel := context.WithTimeout(a.Ctx, system.OperatorTimeout)
	defer cancel()
	user := symbolon.UserID(c.User)
	if system.CheckBind(user, "") != nil {
		return cli.Usage(errors.New("<user> must be the key of a user: text of 1 to 255 bytes"))
	}
	invite, err := s.Linker.Invite(ctx, user, life)
	switch {
	case errors.Is(err, symbolon.ErrNotFound):
		return cli.Hint(fmt.Errorf("user %s has no row in the users table", cli.Plain(c.User)), "make the user first, then its invite")
	case errors.Is(err, symbolon.ErrConflict):
		return cli.Hint(errors.New(cli.Plain(err.Error())), "`symbolon show %s` shows both sides", cli.Plain(c.User))
	case err != nil:
		return err
	}
	e := json.NewEncoder(a.Out)
	if !c.JSON {
		e.SetIndent("", "  ")
	}
	return e.Encode(invite)
}
