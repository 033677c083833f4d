// Package frameworks shows Symbolon's middleware in routers that are not
// net/http's. Each function is a small application: GET /notes/{id} for whoever has
// signed in, and POST /delete for who has shown a second factor as well.
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

// NewApp has the accounts loaded beside every session.
func NewApp(auth *session.Verifier, load func(context.Context, symbolon.User) (Account, error)) App {
	return App{auth, session.Load(auth, load)}
}

// note is what every handler here answers: the user, its row, and the parameter that
// the router found.
func (a App) note(ctx context.Context, w io.Writer, id string) {
	u, _ := symbolon.UserFrom(ctx)
	account, _ := a.Accounts.From(ctx)
	_, _ = fmt.Fprintf(w, "note %s of user %s, plan %s", id, u.ID, account.Plan)
}
