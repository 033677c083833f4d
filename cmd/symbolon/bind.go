package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/erase"
	"github.com/symbolon-id/symbolon/link"
)

type bindCmd struct {
	Identity string `arg:"" help:"The identity's ID."`
	User     string `arg:"" optional:"" help:"The user's ID: the key of its row."`
	New      bool   `help:"Give the identity a new user, instead of USER."`
	Move     bool   `help:"Allow the move even if the user now belongs to another existing identity, or the identity to another user. A former user's row that stays behind is printed."`
	Also     bool   `help:"Bind it as a further identity: the user keeps its primary identity, which alone fills its row. Needs ory.admin_url."`
	Why      string `placeholder:"TEXT" help:"A reason, which is kept permanently in the history: a ticket's number, never the person's name."`
}

func (bindCmd) Help() string {
	return `Your decision overrides all evidence. It also releases an identity or a user that was on hold. If Ory still has the user's other identity, or if the identity has another user, --move is needed.

	symbolon bind 018f2d5e-7c1a-4f3e-9b57-1c2d3e4f5a6b 42 --why "ticket 8812"
	symbolon bind 018f2d5e-7c1a-4f3e-9b57-1c2d3e4f5a6b 42 --also
	symbolon bind 018f2d5e-7c1a-4f3e-9b57-1c2d3e4f5a6b --new`
}

// Run binds.
func (c bindCmd) Run(a *cli.App) error {
	id, err := symbolon.ParseIdentityID(c.Identity)
	if err != nil {
		return cli.Usage(err)
	}
	user := symbolon.UserID(c.User)
	if c.New {
		if c.User != "" || c.Move || c.Also {
			return cli.Usage(errors.New("--new cannot be combined with a user, --move or --also"))
		}
		if err := link.CheckWhy(c.Why); err != nil {
			return cli.Usage(err)
		}
	} else if c.User == "" {
		return cli.Usage(cli.Hint(errors.New("expected \"<user>\" or --new"), "symbolon bind --help explains both"))
	} else if p := system.CheckBind(user, c.Why); p != nil {
		return cli.Usage(errors.New(p.Message))
	}
	return system.Use(a, func(s *system.System) error { return c.bind(a, s, id, user) })
}

func (c bindCmd) bind(a *cli.App, s *system.System, id symbolon.IdentityID, user symbolon.UserID) error {
	ctx, cancel := context.WithTimeout(a.Ctx, system.OperatorTimeout)
	defer cancel()
	bond, err := c.order(ctx, s, id, user)
	if err != nil {
		return cli.Advise(withFlag(err),
			cli.Advice{For: symbolon.ErrConflict, Hint: "nothing was changed; `symbolon show ID` shows both sides"},
			cli.Advice{For: symbolon.ErrUnavailable, Hint: "it is not known whether the link was made; run the command again, because a repetition does no harm"})
	}
	if err := s.Linker.Close(ctx); err != nil {
		return err
	}
	words := "identity %s is bound to user %s\n"
	if bond.State == symbolon.Also {
		words = "identity %s is a further identity of user %s\n"
	}
	if _, err := fmt.Fprintf(a.Out, words, bond.Identity, cli.Plain(string(bond.User))); err != nil {
		return err
	}
	behind, err := s.Erasures().LeftBehind(ctx, bond.Identity, bond.User)
	if err != nil {
		return cli.Hint(err, "the link was made; it is not known whether a former user's row was left behind: `symbolon erase %s --dry-run` lists such rows", bond.Identity)
	}
	return printBehind(a.Out, behind)
}

func (c bindCmd) order(ctx context.Context, s *system.System, id symbolon.IdentityID, user symbolon.UserID) (symbolon.Link, error) {
	if c.New {
		return s.Linker.BindNew(ctx, id, c.Why)
	}
	return s.Linker.Bind(ctx, id, user, symbolon.BindOptions{Move: c.Move, Also: c.Also, Why: c.Why})
}

// printBehind says which rows have no identity any more because the identity was moved, and
// how to erase them.
func printBehind(out io.Writer, behind []erase.LeftBehind) error {
	for _, b := range behind {
		user, data := cli.Plain(string(b.User)), "its row stays, without an identity"
		if len(b.Columns) > 0 {
			data = fmt.Sprintf("its row stays, without an identity, and keeps the person's data (%s)", strings.Join(b.Columns, ", "))
		}
		_, err := fmt.Fprintf(out, "left behind: user %s: %s; `symbolon erase %s` erases this user, and so does an erasure of the identity\n", user, data, user)
		if err != nil {
			return err
		}
	}
	return nil
}

// withFlag names the flag that allows what a conflict prevents.
func withFlag(err error) error {
	conflict, ok := errors.AsType[*symbolon.ConflictError](err)
	if !ok || !conflict.Movable {
		return err
	}
	return &symbolon.ConflictError{Identity: conflict.Identity, User: conflict.User, Reason: conflict.Reason + "; --move ends that link"}
}
