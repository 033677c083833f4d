// Package notes is a small web application with Ory for sign-in and Symbolon for users: what a newcomer copies from.
//
// Pages of Ory's self-service flows (sign-up, login, profile, …) are in auth.go and rendered by package flowui; everything else
// is an ordinary application, whose notes belong to its own users.
package notes

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/examples/notes/flowui"
	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session"
)

// App is the application. DB, URL and Ory are needed; the rest has defaults. Use Handler, then leave the fields alone; Close it.
type App struct {
	DB  *sql.DB // from Open
	URL string  // where browsers reach this application, such as http://127.0.0.1:4455; Ory must allow it in allowed_return_urls
	Ory string  // Ory's public URL, the same for browsers and for this server

	// Symbolon needs none of these. Without them a person becomes a user at the first request. See the ladder in Symbolon's README.
	OryAdmin string                               // Ory's admin URL: hooks are re-read there, sessions proved over
	Secrets  []symbolon.Secret                    // sign users' IDs: those of the Symbolon server, where one runs beside this
	Hooks    bool                                 // answer Ory's hooks here, below /hooks/, in place of a Symbolon server; needs Secrets
	Linked   func(context.Context, symbolon.Link) // told of everybody who became a user here

	SessionCookie string       // default ory_kratos_session
	Recovery      bool         // offer "Forgot your password?": needs Ory's recovery flow and a way to send mail
	FormAction    []string     // more origins that a form may lead to, such as a social sign-in provider's; the CSP forbids all others
	Log           *slog.Logger // default slog.Default()

	store  store
	linker *link.Linker
	auth   *session.Verifier
	hooks  *hooks.Handler // nil without Hooks
	client *ory.Client
	ory    *flowui.Client
	pages  *template.Template
	style  string // version of the style sheet, in its URL
}

//go:embed templates/*.html
var templates embed.FS

//go:embed static
var static embed.FS

// Handler returns the whole application. It talks to neither the database nor Ory before the first request.
func (a *App) Handler() (http.Handler, error) {
	if err := a.prepare(); err != nil {
		return nil, err
	}
	return a.routes(), nil
}

// prepare checks the fields, all of them, and fills in defaults.
func (a *App) prepare() error {
	var problems []error
	if a.DB == nil {
		problems = append(problems, errors.New("notes: DB is missing"))
	}
	for name, field := range map[string]*string{"URL": &a.URL, "Ory": &a.Ory} {
		u, err := url.Parse(*field)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			problems = append(problems, fmt.Errorf("notes: %s must be an http(s) URL, not %q", name, *field))
		}
		*field = strings.TrimRight(*field, "/")
	}
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	if a.SessionCookie == "" {
		a.SessionCookie = "ory_kratos_session"
	}
	if a.Log == nil {
		a.Log = slog.Default()
	}
	a.store = store{a.DB}
	a.ory = &flowui.Client{PublicURL: a.Ory, SessionCookie: a.SessionCookie}
	return errors.Join(a.bond(), a.loadPages())
}

// bond wires Symbolon: which of our people is a request?
func (a *App) bond() error {
	a.client = &ory.Client{PublicURL: a.Ory, AdminURL: a.OryAdmin, Cookie: a.SessionCookie}
	a.linker = &link.Linker{Ory: a.client, Store: people(a.DB), Secrets: a.Secrets, AfterLink: a.Linked, Log: a.Log}
	a.auth = &session.Verifier{Linker: a.linker, ErrorFunc: a.refuse, Log: a.Log}
	if a.Hooks {
		a.hooks = &hooks.Handler{Linker: a.linker, Log: a.Log}
		return errors.Join(a.auth.Check(), a.hooks.Check())
	}
	return a.auth.Check()
}

// WriteActions writes what Kratos' configuration needs to call the hooks of this application. It needs URL and Secrets only, and holds
// keys: treat it as a secret.
func (a *App) WriteActions(w io.Writer) error {
	people := People()
	return hooks.Actions{URL: a.URL, Keys: hooks.DeriveKeys(a.Secrets), NewID: people.NewID, Columns: people.Columns}.WriteKratos(w)
}

// Close ends what goes on behind the requests. The database stays open.
func (a *App) Close(ctx context.Context) error {
	a.auth.Close()
	defer a.client.CloseIdleConnections()
	return a.linker.Close(ctx)
}

func (a *App) loadPages() error {
	css, err := static.ReadFile("static/style.css")
	if err != nil {
		return fmt.Errorf("notes: %w", err)
	}
	sum := sha256.Sum256(css)
	a.style = hex.EncodeToString(sum[:6])
	if a.pages, err = template.New("").ParseFS(templates, "templates/*.html"); err != nil {
		return fmt.Errorf("notes: %w", err)
	}
	return nil
}
