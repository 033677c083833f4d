// Package frameworks uses Symbolon's middleware in other routers than net/http's. Each
// function is a small application: GET /notes/{id} requires a session, and POST /delete
// also requires a second factor.
package frameworks

import (
	"context"
	"fmt"
	"io"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/session"
)

// Account is the application's row of a user. It is read once for each answer of Ory.
type Account struct{ Plan string }

// App is shared by the handlers.
type App struct {
	Auth     *session.Verifier
	Accounts *session.Loader[Account]
}

// NewApp loads the account with every session.
func NewApp(auth *session.Verifier, load func(context.Context, symbolon.User) (Account, error)) App {
	return App{auth, session.Load(auth, load)}
}

// note is the answer of every handler: the user, the user's row, and the route parameter.
func (a App) note(ctx context.Context, w io.Writer, id string) {
	u, _ := symbolon.UserFrom(ctx)
	account, _ := a.Accounts.From(ctx)
	_, _ = fmt.Fprintf(w, "note %s of user %s, plan %s", id, u.ID, account.Plan)
}
