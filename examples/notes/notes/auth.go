package notes

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/examples/notes/flowui"
	"github.com/symbolon-id/symbolon/session"
)

// flow serves the page of a flow of Ory.
func (a *App) flow(kind flowui.Kind) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.URL.Query().Get("flow")
		if id == "" {
			a.start(w, r, kind)
			return
		}
		f, err := a.ory.Flow(r, kind, id)
		if err != nil {
			a.noFlow(w, r, kind, err)
			return
		}
		if _, signedIn := symbolon.UserFrom(r.Context()); signedIn && !wantsMore(f) {
			http.Redirect(w, r, "/notes", http.StatusSeeOther)
			return
		}
		a.clearRestarts(w, r)
		a.showFlow(w, r, f)
	})
}

// wantsMore reports whether the page is useful for a person who is signed in already.
func wantsMore(f *flowui.Flow) bool {
	switch f.Kind {
	case flowui.Registration:
		return false
	case flowui.Login:
		return f.Refresh || f.RequestedAAL == "aal2"
	}
	return true
}

// start redirects the browser to Ory, which creates a flow, sets its cookie and redirects back here with ?flow=ID. While Ory is down,
// start shows one of our pages, because the browser would show its own error page.
func (a *App) start(w http.ResponseWriter, r *http.Request, kind flowui.Kind) {
	if err := a.ory.Ready(r); err != nil {
		a.fail(w, r, err)
		return
	}
	asked, q := r.URL.Query(), url.Values{}
	if to := asked.Get("return_to"); to != "" || kind != flowui.Settings { // the settings page does not redirect at the end
		q.Set("return_to", a.returnTo(to))
	}
	if kind == flowui.Login && asked.Get("aal") == "aal2" {
		q.Set("aal", "aal2")
	}
	if kind == flowui.Login && asked.Get("refresh") == "true" {
		q.Set("refresh", "true")
	}
	http.Redirect(w, r, a.ory.Start(kind, q), http.StatusSeeOther)
}

// returnTo makes an absolute URL from a path of this application. Everything else, for example another site's address, becomes /notes.
func (a *App) returnTo(path string) string {
	if strings.HasPrefix(path, a.URL+"/") {
		path = strings.TrimPrefix(path, a.URL)
	}
	u, err := url.Parse(path)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsRune(path, '\\') {
		return a.URL + "/notes"
	}
	return a.URL + path
}

// noFlow answers if there is no flow to show, usually by a new flow.
func (a *App) noFlow(w http.ResponseWriter, r *http.Request, kind flowui.Kind, err error) {
	switch {
	case errors.Is(err, flowui.ErrSecondFactor):
		a.secondFactor(w, r)
	case errors.Is(err, flowui.ErrRestart) && a.countRestart(w, r):
		a.start(w, r, kind)
	default:
		a.fail(w, r, err)
	}
}

// secondFactor redirects the browser to Ory for the second factor and then to the wanted page.
func (a *App) secondFactor(w http.ResponseWriter, r *http.Request) {
	q := url.Values{"aal": {"aal2"}, "return_to": {a.returnTo(wanted(r))}}
	http.Redirect(w, r, a.ory.Start(flowui.Login, q), http.StatusSeeOther)
}

// wanted returns the page to come back to: the requested page, or the page of the submitted form.
func wanted(r *http.Request) string {
	if r.Method != http.MethodGet {
		return "/notes"
	}
	return r.URL.Path
}

// refuse answers a request that session.Verifier did not let in. Only a proven stranger is sent to the login page, so nobody is logged out
// while Ory is down.
func (a *App) refuse(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, session.ErrUnauthenticated):
		http.Redirect(w, r, "/login?"+url.Values{"return_to": {wanted(r)}}.Encode(), http.StatusSeeOther)
	case errors.Is(err, session.ErrAAL2Required):
		a.secondFactor(w, r)
	default:
		a.fail(w, r, err)
	}
}

// anyone lets every request in, with the user if it is known. It differs from session.Verifier.Optional while Ory is down: the page is
// shown, and knows that the user is unknown (see unknown).
func (a *App) anyone(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := a.auth.Authenticate(r)
		switch {
		case err == nil:
			r = r.WithContext(symbolon.WithPrincipal(r.Context(), p))
		case !session.Denied(err):
			r = r.WithContext(context.WithValue(r.Context(), unknownKey{}, true))
		}
		next(w, r)
	})
}

type unknownKey struct{}

// unknown reports whether Ory could not say if the person is signed in.
func unknown(ctx context.Context) bool { return ctx.Value(unknownKey{}) != nil }

// logout accepts only a POST of this site, so that a picture or link of another site cannot sign a person out. Ory ends the session.
func (a *App) logout(w http.ResponseWriter, r *http.Request) {
	to, err := a.ory.LogoutURL(r)
	switch {
	case errors.Is(err, flowui.ErrRestart): // not signed in
		to = "/"
	case err != nil:
		a.fail(w, r, err)
		return
	}
	if p := symbolon.PrincipalFrom(r.Context()); p != nil {
		a.auth.PurgeSession(p.Session.ID) // do not use Ory's earlier answer any more
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

const restartCookie = "notes_restarts"

// countRestart counts how often flows were started again within a short time, and returns false at the fourth time. Something is then
// configured wrongly (a cookie's domain, two Kratos behind one name), and an error page is better than an endless redirect.
func (a *App) countRestart(w http.ResponseWriter, r *http.Request) bool {
	n := 0
	if c, err := r.Cookie(restartCookie); err == nil {
		n, _ = strconv.Atoi(c.Value)
	}
	a.setRestarts(w, strconv.Itoa(n+1), 10)
	return n < 3
}

func (a *App) clearRestarts(w http.ResponseWriter, r *http.Request) {
	if _, err := r.Cookie(restartCookie); err == nil {
		a.setRestarts(w, "", -1)
	}
}

func (a *App) setRestarts(w http.ResponseWriter, value string, age int) {
	http.SetCookie(w, &http.Cookie{Name: restartCookie, Value: value, Path: "/", MaxAge: age, //nolint:gosec // Secure if the URL is https
		Secure: strings.HasPrefix(a.URL, "https:"), HttpOnly: true, SameSite: http.SameSiteLaxMode})
}
