package system

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/doctor"
	"github.com/symbolon-id/symbolon/mint"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// UsersTable is the users table for the doctor.
type UsersTable struct{ *System }

// Examine returns the faults of the table, each with its fix.
func (u UsersTable) Examine(ctx context.Context) ([]doctor.TableFault, error) {
	faults, err := u.Store.Examine(ctx)
	if err != nil {
		return nil, err
	}
	if err := u.Store.CheckProject(ctx, u.Config.Ory.Project); err != nil {
		if _, fault := errors.AsType[*sqlstore.Fault](err); !fault {
			return nil, err
		}
		faults = append(faults, err)
	}
	var out []doctor.TableFault
	for _, err := range faults {
		f, ok := errors.AsType[*sqlstore.Fault](err)
		if !ok {
			return nil, err
		}
		fault := doctor.TableFault{Kind: string(f.Kind), Column: f.Column, Is: f.Is, Fix: f.Fix, LeftOut: f.LeftOut}
		if f.Column == u.Config.Users.Identity && (f.Kind == sqlstore.NoColumn || f.Kind == sqlstore.NotUnique) {
			fault.Fix = u.identityColumn(ctx, f.Fix)
		}
		out = append(out, fault)
	}
	return out, nil
}

// logFaults returns the function that logs the faults of the users table that the store
// notices.
func logFaults(log *slog.Logger) func([]*sqlstore.Fault) {
	return func(faults []*sqlstore.Fault) {
		for _, f := range faults {
			log.Warn("the users table has a fault", "fault", f.Is, "left_out", f.LeftOut, "fix", f.Fix)
		}
		if len(faults) == 0 {
			log.Info("the users table has no fault any more")
		}
	}
}

// identityColumn is the SQL that adds the column and its index, or the reason why it cannot
// be added.
func (u UsersTable) identityColumn(ctx context.Context, otherwise string) string {
	todo, err := u.Store.IdentityColumn(ctx)
	var doubled *sqlstore.DoubledError
	switch {
	case errors.As(err, &doubled):
		return fmt.Sprintf("leave each of these identity IDs only in the row of its user, and set it to null in the other rows: %s; then %s", strings.Join(doubled.Values, ", "), otherwise)
	case err != nil || len(todo) == 0:
		return otherwise
	}
	return strings.Join(todo, "; ") + "; symbolon init --apply does the same"
}

// Rights returns the rights that the database user lacks.
func (u UsersTable) Rights(ctx context.Context) (out []doctor.TableFault, err error) {
	faults, err := u.Store.Rights(ctx, u.Config.Users.OnIdentityDeleted)
	for _, f := range faults {
		out = append(out, doctor.TableFault{Kind: string(f.Kind), Is: f.Is, Fix: f.Fix})
	}
	return out, err
}

// Doubts returns what the catalogue cannot tell about new rows.
func (u UsersTable) Doubts(ctx context.Context) ([]string, error) {
	if u.Config.Users.CreateURL != "" {
		return nil, nil // the table is Symbolon's own
	}
	return u.Store.Doubts(ctx)
}

// Prove inserts the row of a person with these traits, and rolls it back.
func (u UsersTable) Prove(ctx context.Context, traits json.RawMessage) (doctor.Proof, error) {
	id := symbolon.Identity{ID: symbolon.IdentityID((&mint.Minter{}).Mint(time.Now())), State: symbolon.Active, Traits: traits, CreatedAt: time.Now()}
	var user symbolon.UserID
	switch newID := u.Store.NewID(); {
	case newID == symbolon.ByMint:
		user = u.Linker.Mint()
	case newID == symbolon.ByIdentity:
		user = symbolon.UserID(id.ID)
	case newID.Template():
		user = mint.Expand(string(newID), time.Now())
	}
	proof, err := u.Store.Prove(ctx, id, user)
	return doctor.Proof{Refused: proof.Refused, Sampled: proof.Sampled}, err
}

// Triggers returns the application's triggers of the users table.
func (u UsersTable) Triggers(ctx context.Context) (out []doctor.TableTrigger, err error) {
	triggers, err := u.Store.Triggers(ctx)
	for _, t := range triggers {
		out = append(out, doctor.TableTrigger(t))
	}
	return out, err
}

// UniqueColumns are the columns that are filled from the identity and unique.
func (u UsersTable) UniqueColumns(ctx context.Context) (out []string, err error) {
	if u.Config.Users.CreateURL != "" {
		return nil, nil // the table belongs to the application
	}
	t, err := sqlstore.Describe(ctx, u.DB, u.Store.Dialect, u.Config.Users.Table)
	if err != nil {
		return nil, err
	}
	for _, c := range t.Columns {
		if _, filled := u.Config.Users.Columns[c.Name]; filled && c.Unique {
			out = append(out, c.Name)
		}
	}
	return out, nil
}
