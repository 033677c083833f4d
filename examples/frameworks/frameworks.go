// Package frameworks shows Symbolon's middleware in routers other than net/http's. Each
// function is a small application: GET /notes/{id} requires a session, and POST /delete a
// second factor as well.
package frameworks

import (
	"context"
	"fmt"
	"io"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/session"
)

// Account is the application's own row of a user, read once for each answer of Ory.
type Account struct{ Plan string }

// App is what the handlers share.
type App struct {
	Auth     *session.Verifier
	Accounts *session.Loader[Account]
}

// NewApp loads the account with every session.
func NewApp(auth *session.Verifier, load func(context.Context, symbolon.User) (Account, error)) App {
	return App{auth, session.Load(auth, load)}
}

// note is the answer of every handler here: the user, its row, and the parameter that the
// router found.
func (a App) note(ctx context.Context, w io.Writer, id string) {
	u, _ := symbolon.UserFrom(ctx)
	account, _ := a.Accounts.From(ctx)
	_, _ = fmt.Fprintf(w, "note %s of user %s, plan %s", id, u.ID, account.Plan)
}
