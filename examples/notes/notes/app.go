// Package notes is a small web application with Ory for sign-in and Symbolon for users: what a newcomer copies from.
//
// Pages of Ory's self-service flows (sign-up, login, profile, …) are in auth.go and rendered by package flowui; everything else
// is an ordinary application, whose notes belong to its own users.
package notes

import (
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/symbolon-id/symbolon/examples/notes/flowui"
)

// App is the application. DB, URL and Ory are needed; the rest has defaults. Use Handler, then leave the fields alone.
type App struct {
	DB  *sql.DB // from Open
	URL string  // where browsers reach this application, such as http://127.0.0.1:4455; Ory must allow it in allowed_return_urls
	Ory string  // Ory's public URL, the same for browsers and for this server

	SessionCookie string       // default ory_kratos_session
	Recovery      bool         // offer "Forgot your password?": needs Ory's recovery flow and a way to send mail
	FormAction    []string     // more origins that a form may lead to, such as a social sign-in provider's; the CSP forbids all others
	Log           *slog.Logger // default slog.Default()

	store store
	ory   *flowui.Client
	pages *template.Template
	style string // version of the style sheet, in its URL
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
	return a.loadPages()
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
