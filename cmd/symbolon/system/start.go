package system

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/sqlstore/migrate"
)

// NotSettled is the sentence about a start that is not settled, and NextIsAdopt is the command
// that comes next.
const (
	NotSettled  = "the users table had rows without an identity when Symbolon started, so identities that are older than the ledger get no new user (403 link_on_hold) until their users are adopted"
	NextIsAdopt = "symbolon adopt"
)

// begin records the start of the project.
func (s *System) begin(ctx context.Context, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, checking)
	defer cancel()
	start, err := s.Store.Begin(ctx, s.Config.Ory.Project)
	if _, fault := errors.AsType[*sqlstore.Fault](err); fault {
		return cli.Usage(err)
	}
	if err == nil && !start.Settled() {
		log.Warn(NotSettled, "finding", symbolon.NotAdopted, "next", NextIsAdopt)
	}
	return err
}

// ownsTable refuses a command if the ledger of the project belongs to another users table.
func (s *System) ownsTable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checking)
	defer cancel()
	err := s.Store.OwnTable(ctx, s.Config.Ory.Project)
	if _, fault := errors.AsType[*sqlstore.Fault](err); fault {
		return cli.Usage(err)
	}
	return err
}

// Unsettled reports whether people wait for an adoption. Before the first start it reports
// whether they would. A ledger of an older version reports that nobody waits.
func (s *System) Unsettled(ctx context.Context) (bool, error) {
	if have, want, err := migrate.Current(ctx, s.DB, s.Store.Dialect); err == nil && have < want {
		n, err := s.Store.CountUnbound(ctx)
		return n > 0 && have == 0, err
	}
	start, err := s.Store.FindStart(ctx, s.Config.Ory.Project)
	if errors.Is(err, symbolon.ErrNotFound) {
		n, err := s.Store.CountUnbound(ctx)
		return n > 0, err
	}
	return err == nil && !start.Settled(), err
}

// NotAdopted is the one finding of a project whose start is not settled; nil if it is settled.
func (s *System) NotAdopted(ctx context.Context) (*symbolon.Finding, error) {
	start, err := s.Store.FindStart(ctx, s.Config.Ory.Project)
	switch {
	case errors.Is(err, symbolon.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case start.Settled():
		return nil, nil
	}
	return &symbolon.Finding{Kind: symbolon.NotAdopted, At: start.CreatedAt, Detail: NotSettled + ": " + NextIsAdopt}, nil
}

// IdentityColumns are the columns of the users table that hold UUIDs and may therefore hold
// the identities' IDs.
func (s *System) IdentityColumns(ctx context.Context) (out []string, err error) {
	u := s.Config.Users
	t, err := sqlstore.Describe(ctx, s.DB, s.Store.Dialect, u.Table)
	if err != nil {
		return nil, err
	}
	isUUID := func(value string) bool { _, err := symbolon.ParseIdentityID(value); return err == nil }
	for _, c := range t.Columns {
		if !c.Holds || c.Key || c.Name == u.ID || c.Name == u.Identity {
			continue
		}
		values, err := s.Store.Sample(ctx, c.Name)
		if err != nil {
			return nil, err
		}
		if len(values) > 0 && !slices.ContainsFunc(values, func(v string) bool { return !isUUID(v) }) {
			out = append(out, c.Name)
		}
	}
	return out, nil
}
