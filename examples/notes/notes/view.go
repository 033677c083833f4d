package notes

import (
	"bytes"
	"html/template"
	"net/http"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/examples/notes/flowui"
)

// view is the data of every page. Page is the page's own part.
type view struct {
	Title   string
	User    *symbolon.User // nil: no known user
	Nav     nav
	Path    string
	Style   string
	Scripts bool // the page loads flowui's script
	Page    any
}

// nav is the kind of navigation bar.
type nav string

const (
	navUser     nav = "user"
	navStranger nav = "stranger"
	navOut      nav = "out"  // signed in at Ory and denied here: only a logout
	navNone     nav = "none" // unknown whether the person is signed in
)

func (a *App) render(w http.ResponseWriter, r *http.Request, status int, name, title string, page any) {
	v := view{Title: title, Nav: navStranger, Path: r.URL.Path, Style: a.style, Page: page}
	if u, ok := symbolon.UserFrom(r.Context()); ok {
		v.User, v.Nav = &u, navUser
	} else if unknown(r.Context()) {
		v.Nav = navNone
	}
	switch p := page.(type) {
	case flowPage:
		v.Scripts = p.scripts
		if p.Halfway {
			v.Nav = navOut
		}
	case problem:
		if p.nav != "" && v.User == nil {
			v.Nav = p.nav
		}
	}
	// Written to a buffer first, because a page that fails halfway must not have the
	// status 200.
	var b bytes.Buffer
	if err := a.pages.ExecuteTemplate(&b, name, v); err != nil {
		a.Log.ErrorContext(r.Context(), "render page", "page", name, "error", err)
		http.Error(w, "Something broke on our side.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// When returns the time of the note for people.
func (n Note) When() string { return n.CreatedAt.UTC().Format("2 January 2006, 15:04 MST") }

// Stamp returns the time of the note for programs.
func (n Note) Stamp() string { return n.CreatedAt.UTC().Format(time.RFC3339) }

// flowPage is the data of the template "flow": a flow of Ory and our texts around it.
type flowPage struct {
	Kind     flowui.Kind
	Form     template.HTML
	Intro    string
	Halfway  bool // the second factor's page
	Refresh  bool
	Recovery bool
	scripts  bool
}

func (a *App) showFlow(w http.ResponseWriter, r *http.Request, f *flowui.Flow) {
	p := flowPage{Kind: f.Kind, Refresh: f.Refresh, Recovery: a.Recovery, Halfway: f.Kind == flowui.Login && f.RequestedAAL == "aal2"}
	if p.scripts = f.WantsScript(); p.scripts {
		w.Header().Set("Content-Security-Policy", a.policy(true))
	}
	place(f)
	form, err := flowui.Render(f, flowui.Options{Text: wording(f), Autofocus: true, Scripts: p.scripts})
	if err != nil {
		a.fail(w, r, err)
		return
	}
	above := heading(f)
	p.Form, p.Intro = form, above.intro
	a.render(w, r, http.StatusOK, "flow", above.title, p)
}

// words are the title and introduction of a flow's page.
type words struct{ title, intro string }

var headings = map[flowui.Kind]words{
	flowui.Registration: {"Sign up", "A place for short notes. It takes a minute."},
	flowui.Login:        {"Log in", ""},
	flowui.Settings:     {"Your profile", ""},
	flowui.Recovery:     {"Back into your account", "We send you a code by email."},
	flowui.Verification: {"Confirm your email", ""},
}

func heading(f *flowui.Flow) words {
	switch {
	case f.Kind == flowui.Recovery && f.State == "sent_email":
		return words{"Back into your account", ""}
	case f.Kind == flowui.Login && f.RequestedAAL == "aal2":
		return words{"One more step", ""}
	case f.Kind == flowui.Login && f.Refresh:
		return words{"Is it you?", ""}
	}
	return headings[f.Kind]
}
