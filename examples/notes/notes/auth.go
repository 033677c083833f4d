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

// flow serves the page of one of Ory's flows.
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

// wantsMore: the page makes sense for somebody who is signed in already.
func wantsMore(f *flowui.Flow) bool {
	switch f.Kind {
	case flowui.Registration:
		return false
	case flowui.Login:
		return f.Refresh || f.RequestedAAL == "aal2"
	}
	return true
}

// start sends the browser to Ory, which makes a flow, sets its cookie and sends the browser back here with ?flow=ID. While Ory is
// down the browser would only find its own error page there, so we say it on one of ours.
func (a *App) start(w http.ResponseWriter, r *http.Request, kind flowui.Kind) {
	if err := a.ory.Ready(r); err != nil {
		a.fail(w, r, err)
		return
	}
	asked, q := r.URL.Query(), url.Values{}
	if to := asked.Get("return_to"); to != "" || kind != flowui.Settings { // a settings page stays where it is
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

// returnTo makes an absolute URL of a path of ours. Anything else, another site's address above all, becomes /notes.
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

// noFlow answers where there is no flow to show: usually by starting a new one.
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

// secondFactor sends the browser to Ory for the second factor and then to where it was going.
func (a *App) secondFactor(w http.ResponseWriter, r *http.Request) {
	q := url.Values{"aal": {"aal2"}, "return_to": {a.returnTo(wanted(r))}}
	http.Redirect(w, r, a.ory.Start(flowui.Login, q), http.StatusSeeOther)
}

// wanted is the page to come back to: the one asked for, or where a form was sent from.
func wanted(r *http.Request) string {
	if r.Method != http.MethodGet {
		return "/notes"
	}
	return r.URL.Path
}

// refuse answers in place of a page that session.Verifier let nobody into. Only a proven "nobody" leads to the login page: while Ory
// is down nobody is logged out.
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

// anyone lets everybody in, with their user where it is known. It differs from session.Verifier.Optional while Ory is down: the page
// is shown all the same, and knows that it does not know (see unknown).
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

// unknown: whether somebody is signed in cannot be told now.
func unknown(ctx context.Context) bool { return ctx.Value(unknownKey{}) != nil }

// logout is a POST of ours, so that no other site's picture or link can sign somebody out. Ory ends the session.
func (a *App) logout(w http.ResponseWriter, r *http.Request) {
	to, err := a.ory.LogoutURL(r)
	switch {
	case errors.Is(err, flowui.ErrRestart): // nobody is signed in
		to = "/"
	case err != nil:
		a.fail(w, r, err)
		return
	}
	if p := symbolon.PrincipalFrom(r.Context()); p != nil {
		a.auth.PurgeSession(p.Session.ID) // what Ory said of it counts no longer
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

const restartCookie = "notes_restarts"

// countRestart counts how often flows were started again in short order, and returns false at the fourth: something is set up wrong then
// (a cookie's domain, two Kratos behind one name), and a page that says so beats a browser that goes round in circles.
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
	http.SetCookie(w, &http.Cookie{Name: restartCookie, Value: value, Path: "/", MaxAge: age, //nolint:gosec // Secure wherever it can be
		Secure: strings.HasPrefix(a.URL, "https:"), HttpOnly: true, SameSite: http.SameSiteLaxMode})
}
