package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/mint"
)

type voucherCmd struct {
	User string `arg:"" help:"The user's ID: the key of its row."`
	JSON bool   `name:"json" help:"Print the JSON on one line."`
}

func (voucherCmd) Help() string {
	return `Prints the metadata_admin for a new identity at Ory that belongs to an existing user, for example after an invitation. Symbolon binds the two when it first sees the identity. The voucher is valid for this user only, and only while the user has no identity. It reveals nothing about the user. Anybody who may write identities at Ory can use it.

	curl -X POST http://127.0.0.1:4434/admin/identities -H 'Content-Type: application/json' \
	  -d '{"schema_id":"default","traits":{"email":"ann@example.org"},"metadata_admin":'"$(symbolon voucher 42 --json)"'}'`
}

// Run prints a voucher.
func (c voucherCmd) Run(a *cli.App) error {
	return system.UseAdmin(a, "Symbolon can read a voucher only over Ory's admin API", func(s *system.System) error {
		return c.voucher(a, s)
	})
}

func (c voucherCmd) voucher(a *cli.App, s *system.System) error {
	ctx, cancel := context.WithTimeout(a.Ctx, system.OperatorTimeout)
	defer cancel()
	row, err := s.Store.UserRow(ctx, s.Config.Ory.Project, symbolon.UserID(c.User), "")
	if errors.Is(err, symbolon.ErrNotFound) && s.Config.Users.CreateURL != "" {
		row.ID, err = symbolon.UserID(c.User), nil // the application may have the user, although Symbolon has not seen it
	}
	switch {
	case errors.Is(err, symbolon.ErrNotFound):
		return cli.Hint(fmt.Errorf("user %s has no row in the users table", cli.Plain(cli.Clip(c.User, 64))), "make the user first, then its voucher")
	case err != nil:
		return err
	case row.Retired:
		return fmt.Errorf("user %s: this ID is retired, and is never bound again", cli.Plain(c.User))
	case row.Owner() != "":
		return cli.Hint(fmt.Errorf("user %s has an identity already: %s", cli.Plain(c.User), cli.Plain(string(row.Owner()))), "`symbolon show %s` shows both", cli.Plain(c.User))
	}
	voucher, err := s.Linker.Voucher(row.ID)
	if err != nil {
		return err
	}
	e := json.NewEncoder(a.Out)
	if !c.JSON {
		e.SetIndent("", "  ")
	}
	return e.Encode(map[string]mint.Voucher{"symbolon": voucher})
}
