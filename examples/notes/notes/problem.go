package notes

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/examples/notes/flowui"
)

// problem is the data of the error page. Everybody can read it, so it has no internals.
type problem struct {
	Status int
	Title  string
	Text   string
	Detail string // small print, such as Ory's text
	Retry  string // a path to try again
	Link   string // text of the link to Retry
	nav    nav    // set if the page needs another navigation than the request has
}

var (
	broken = problem{Status: http.StatusInternalServerError, Title: "Something broke on our side", Text: "It has been noted. Please try again in a while."}
	outage = problem{Status: http.StatusServiceUnavailable, Title: "Sign-in is not reachable", nav: navNone,
		Text: "We cannot check right now who you are. Your notes are safe, and whoever is signed in stays signed in. Please try again in a moment."}
	cookies = problem{Status: http.StatusBadRequest, Title: "Cookies are needed to sign in",
		Text:   "Your browser came without the cookie that protects the form. Allow cookies for this site, then try again.",
		Detail: "Running this yourself? Open the application and Ory under the same host name: 127.0.0.1 and localhost are two different names.", Retry: "/login", Link: "Try again"}
	circles = problem{Status: http.StatusBadGateway, Title: "Sign-in goes round in circles",
		Text:   "Every form that we start is refused at once. Deleting this site's cookies may help.",
		Detail: "Running this yourself? Look at Ory's cookies.domain and serve.public.base_url.", Retry: "/login", Link: "Try again"}
	nothing = problem{Status: http.StatusNotFound, Title: "There is nothing here", Text: "The page may have been removed, or the address has a typo."}
)

// problems are the error pages. The first matching one is used. The denials come first:
// Ory knows the person, but the person has no user here. The operator's findings say what
// to do.
var problems = []struct {
	is      error
	level   slog.Level
	problem problem
}{
	{symbolon.ErrOnHold, slog.LevelWarn, problem{Status: http.StatusForbidden, nav: navOut, Title: "Your account is on hold",
		Text: "Somebody has to look at it before you can go on. Nothing is lost; please ask us, or come back later."}},
	{symbolon.ErrUserGone, slog.LevelWarn, problem{Status: http.StatusForbidden, nav: navOut, Title: "Your account was deleted here",
		Text: "Your notes went with it; only your way to sign in is left. If you did not expect that, please ask us."}},
	{symbolon.ErrCannotCreate, slog.LevelWarn, problem{Status: http.StatusForbidden, nav: navOut, Title: "Your account could not be set up",
		Text: "Something about it does not fit. We have been told; please ask us, or try again later.", Retry: "/notes", Link: "Try again"}},
	{symbolon.ErrDenied, slog.LevelInfo, problem{Status: http.StatusForbidden, nav: navOut, Title: "Your account is closed for now",
		Text: "It was closed here. If you did not expect that, please ask us."}},
	{symbolon.ErrNotEligible, slog.LevelInfo, problem{Status: http.StatusForbidden, nav: navOut, Title: "There is no account for you here",
		Text: "This application is not for accounts of this kind, or your address is not verified yet.", Retry: "/notes", Link: "Try again"}},
	{errTooLong, slog.LevelInfo, problem{Status: http.StatusRequestEntityTooLarge, Title: "That is too long", Text: "Nothing was kept. Please shorten it."}},
	{errBadForm, slog.LevelInfo, problem{Status: http.StatusBadRequest, Title: "This form could not be read", Text: "Nothing was kept. Please go back and try again."}},
	{flowui.ErrNoCookie, slog.LevelWarn, cookies},
	{flowui.ErrRestart, slog.LevelWarn, circles},
	{flowui.ErrUnavailable, slog.LevelError, outage},
	{symbolon.ErrUnavailable, slog.LevelError, outage},
}

// The browser sent a form that is not ours, or that is too long.
var (
	errBadForm = errors.New("bad form")
	errTooLong = errors.New("too long")
)

func badForm(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return fmt.Errorf("%w: %w", errTooLong, err)
	}
	return fmt.Errorf("%w: %w", errBadForm, err)
}

// fail turns an error into a status and a page. It is the only place for that.
func (a *App) fail(w http.ResponseWriter, r *http.Request, err error) {
	p, level := broken, slog.LevelError
	for _, known := range problems {
		if errors.Is(err, known.is) {
			p, level = known.problem, known.level
			break
		}
	}
	var denied *symbolon.DenyError
	if errors.As(err, &denied) {
		p.Detail = "Your identity at Ory: " + string(denied.Identity)
	}
	if p.Retry == "" && r.Method == http.MethodGet && p.Status >= 500 {
		p.Retry, p.Link = r.URL.Path, "Try again"
	}
	a.Log.LogAttrs(r.Context(), level, "request failed", slog.String("path", r.URL.Path), slog.Int("status", p.Status), slog.Any("error", err))
	a.problem(w, r, p)
}

func (a *App) problem(w http.ResponseWriter, r *http.Request, p problem) {
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	a.render(w, r, p.Status, "problem", p.Title, p)
}

func (a *App) nothingHere(w http.ResponseWriter, r *http.Request) { a.problem(w, r, nothing) }

// oryProblem is Ory's error page (selfservice.flows.error.ui_url). Ory stores its errors
// under an ID.
func (a *App) oryProblem(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("id")
	if id == "" {
		a.nothingHere(w, r)
		return
	}
	e, err := a.ory.Problem(r, id)
	if errors.Is(err, flowui.ErrRestart) {
		a.problem(w, r, problem{Status: http.StatusNotFound, Title: "This error is gone", Text: "Ory keeps errors for a while only.", Retry: "/login", Link: "Log in"})
		return
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.Log.LogAttrs(r.Context(), slog.LevelWarn, "Ory showed an error", slog.Int("code", e.Code), slog.String("id", e.ID), slog.String("reason", e.Reason))
	a.problem(w, r, explain(e, id))
}

// explain describes Ory's error. Ory's own reason is shown below.
func explain(e *flowui.Problem, id string) problem {
	p := problem{Status: http.StatusInternalServerError, Title: "Signing in hit a problem", Text: e.Reason, Retry: "/login", Link: "Start again"}
	if e.Code >= 400 && e.Code < 600 {
		p.Status = e.Code
	}
	if p.Text == "" {
		p.Text = e.Message
	}
	switch {
	case e.ID == "security_csrf_violation":
		p.Title, p.Text = "That form was out of date", "It came from another tab, or it was open for too long. Nothing was done; please start again."
		p.Detail = e.Reason
	case e.ID == "self_service_flow_expired", e.Code == http.StatusGone:
		p.Title, p.Text = "That took too long", "The form has expired. Nothing was done; please start again."
	}
	p.Detail = join(p.Detail, fmt.Sprintf("Ory: %d %s, error %s", e.Code, e.Status, id))
	return p
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + " " + b
}
