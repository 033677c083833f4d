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
	return `Prints the metadata_admin with which an identity is created at Ory for a user that exists: for invitations, where the user comes first. When the identity is first seen the two are bound. It is good for this user only, while the user has no identity; it names nobody and opens nothing, but whoever may write identities at Ory can use it.

	curl -X POST http://127.0.0.1:4434/admin/identities -H 'Content-Type: application/json' \
	  -d '{"schema_id":"default","traits":{"email":"ann@example.org"},"metadata_admin":'"$(symbolon voucher 42 --json)"'}'`
}

// Run prints a voucher.
func (c voucherCmd) Run(a *cli.App) error {
	s, err := system.Open(a)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := needAdmin(s, "a voucher is seen by Ory's admin API only"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(a.Ctx, system.OperatorTimeout)
	defer cancel()
	row, err := s.Store.UserRow(ctx, s.Config.Ory.Project, symbolon.UserID(c.User), "")
	if errors.Is(err, symbolon.ErrNotFound) && s.Config.Users.CreateURL != "" {
		row.ID, err = symbolon.UserID(c.User), nil // the application knows its users, and we only those we met
	}
	if err != nil {
		return explainVoucher(c.User, err)
	}
	switch {
	case row.Retired:
		return fmt.Errorf("user %s: its ID was given up; it is never bound again", cli.Plain(c.User))
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

func explainVoucher(user string, err error) error {
	if errors.Is(err, symbolon.ErrNotFound) {
		return cli.Hint(fmt.Errorf("user %s has no row in the users table", cli.Plain(cli.Clip(user, 64))), "make the user first, then its voucher")
	}
	return err
}

// needAdmin refuses where no admin URL is configured.
func needAdmin(s *system.System, why string) error {
	if s.Ory.HasAdmin() {
		return nil
	}
	return cli.Usage(cli.Hint(errors.New(why), "set ory.admin_url in the configuration, or SYMBOLON_ORY_ADMIN_URL=http://127.0.0.1:4434"))
}
