// Package notes is a small web application with Ory for sign-in and Symbolon for users. Newcomers can copy from it.
//
// The pages of Ory's self-service flows (sign-up, login, profile and others) are in auth.go and rendered by package flowui. All other
// files are an ordinary application, in which each note belongs to a user.
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

// App is the application. DB, URL and Ory are required; the other fields have defaults. Call Handler, do not change the fields afterwards,
// and call Close at the end.
type App struct {
	DB  *sql.DB // from Open
	URL string  // address of this application for browsers, such as http://127.0.0.1:4455; Ory must allow it in allowed_return_urls
	Ory string  // Ory's public URL, for browsers and for this server

	// Symbolon does not need these fields. Without them a person becomes a user at the first request. docs/go.md of Symbolon has the four steps.
	OryAdmin string                               // Ory's admin URL: hooks are re-read there, sessions proved over
	Secrets  []symbolon.Secret                    // sign users' IDs: the same as the Symbolon server's, if one runs beside this application
	Hooks    bool                                 // answer Ory's hooks here, below /hooks/, instead of by a Symbolon server; needs Secrets
	Linked   func(context.Context, symbolon.Link) // called for every new link of this process

	SessionCookie string       // default ory_kratos_session
	Recovery      bool         // offer "Forgot your password?": needs Ory's recovery flow and mail
	FormAction    []string     // further origins that a form may lead to, such as a social sign-in provider's; the CSP forbids all others
	Log           *slog.Logger // default slog.Default()

	store  store
	linker *link.Linker
	auth   *session.Verifier
	hooks  *hooks.Handler // nil if Hooks is not set
	client *ory.Client
	ory    *flowui.Client
	pages  *template.Template
	style  string // version of the style sheet, in its URL
}

//go:embed templates/*.html
var templates embed.FS

//go:embed static
var static embed.FS

// Handler returns the application. It uses the database and Ory only after the first request.
func (a *App) Handler() (http.Handler, error) {
	if err := a.prepare(); err != nil {
		return nil, err
	}
	return a.routes(), nil
}

// prepare checks all fields and sets defaults.
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

// bond sets Symbolon up, which finds the user of a request.
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

// WriteActions writes the part of Kratos' configuration that calls the hooks of this application. It needs URL and Secrets only. The
// output contains keys, so treat it as a secret.
func (a *App) WriteActions(w io.Writer) error {
	people := People()
	return hooks.Actions{URL: a.URL, Keys: hooks.DeriveKeys(a.Secrets), NewID: people.NewID, Columns: people.Columns}.WriteKratos(w)
}

// Close stops background work. The database stays open.
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
