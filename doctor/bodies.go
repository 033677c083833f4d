package doctor

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/link"
)

// keysOf returns the keys that a route accepts, the current one first.
func (d *Doctor) keysOf(route string) []string {
	return map[string][]string{"reserve": d.Actions.Keys.Reserve, "link": d.Actions.Keys.Link, "sync": d.Actions.Keys.Sync}[route]
}

func (d *Doctor) checkKey(_ context.Context) Result {
	const none, elsewhere, refused = "Kratos sends no key", "Kratos does not send the key in the header " + hooks.KeyHeader, "Symbolon does not accept the key"
	fault := func(p placed) string {
		switch {
		case p.Auth == "":
			return none
		case p.Auth != "api_key" || p.In != "header" || !strings.EqualFold(p.Header, hooks.KeyHeader):
			return elsewhere
		case !slices.Contains(d.keysOf(p.Route), p.Key):
			return refused
		}
		return ""
	}
	var is []string
	for _, f := range []string{none, elsewhere, refused} {
		var places []string
		for _, route := range []string{"reserve", "link", "sync"} {
			if at := d.find(route, func(p placed) bool { return fault(p) == f }); len(at) > 0 {
				places = append(places, route+" in "+strings.Join(at, ", "))
			}
		}
		if len(places) > 0 {
			is = append(is, f+": "+strings.Join(places, " and "))
		}
	}
	if len(is) == 0 {
		return d.anyOurs("every hook sends a key that Symbolon accepts")
	}
	return problem("%s", strings.Join(is, "; ")).
		breaks("Symbolon answers 401: a refused reserve hook refuses every sign-up; a refused link or sync hook is lost, and without the link hook people get their user at their first request only").
		fix("%s; use the server's secret (SYMBOLON_SECRET) for this command and for the doctor, because the keys are derived from it", printAgain)
}

func (d *Doctor) checkOldKey(_ context.Context) Result {
	at := d.find("", func(p placed) bool { return slices.Index(d.keysOf(p.Route), p.Key) > 0 })
	if len(at) == 0 {
		return d.anyOurs("every hook sends the current key")
	}
	return problem("the rotation is half done: Kratos sends the next or the previous key, in %s", strings.Join(at, ", ")).
		breaks("nothing yet; when this key is removed, Symbolon refuses every hook, and a refused reserve hook refuses every sign-up").
		fix("%s; then remove previous_secrets, or the second key in hooks.keys (docs/rotation.md has the order)", printAgain)
}

// checkServerKey sends the current key to a running server, with a body that has no effect.
// The server refuses the key if it has another secret, or if the operator is about to skip
// the first step of a rotation.
func (d *Doctor) checkServerKey(ctx context.Context) Result {
	for _, r := range d.reached() {
		keys := d.keysOf(r.url[strings.LastIndex(r.url, "/")+1:])
		if !r.symbolon || len(keys) == 0 {
			continue
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, strings.NewReader("{}"))
		if err != nil {
			continue
		}
		req.Header.Set(hooks.KeyHeader, keys[0])
		return d.serverKey(req)
	}
	return unknownUntil("url", "no hook's URL answers as Symbolon does")
}

func (d *Doctor) serverKey(req *http.Request) Result {
	resp, err := d.post(req)
	if err != nil {
		why, _ := noAnswer(err)
		return unknown("try again", "%s: %s", host(req.URL.String()), why)
	}
	_ = resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK, http.StatusBadRequest:
		return well("the server at %s accepts the current key", host(req.URL.String()))
	case http.StatusUnauthorized:
		return problem("the server at %s does not accept the current key of this configuration", host(req.URL.String())).
			breaks("if you restart one server after the other with this configuration, the servers do not accept each other's user IDs and vouchers, and applications refuse signed assertions for up to an hour").
			fix("to change the secret, put the new one into next_secret first, and restart every server (docs/rotation.md); if you do not change it, give this command the server's secret (SYMBOLON_SECRET)")
	}
	return unknown("try again", "the server at %s answers %d to the current key", host(req.URL.String()), resp.StatusCode)
}

func (d *Doctor) anyOurs(is string) Result {
	if len(d.placed()) == 0 {
		return skipped("there is no Symbolon hook")
	}
	return well("%s", is)
}

func (d *Doctor) checkReserveBody(_ context.Context) Result {
	return d.checkBody("reserve", "metadata_public",
		"Symbolon does not receive the current metadata_public, so the data that another hook put there is lost when the ID is added")
}

func (d *Doctor) checkLinkBody(_ context.Context) Result {
	return d.checkBody("link", "identity_id",
		"Symbolon refuses every call with 400, because the identity's ID is missing, and users are made at the first request only")
}

// checkBody compares the Jsonnet of each hook of a route with the Jsonnet that Symbolon
// prints. The doctor does not run Jsonnet. If the two differ, it is a fault only if the hook's
// Jsonnet lacks the word in the parameter must, was printed before users.when was changed, or
// does not send the invite to the reserve hook.
func (d *Doctor) checkBody(route, must, breaks string) Result {
	former := strings.TrimSpace(d.withoutOrWithWhen().Body(route))
	var lacks, old, uninvited, differs, unread []string
	for _, p := range d.placed() {
		if p.Route != route {
			continue
		}
		body, why := source(p.Body)
		switch {
		case why != "":
			unread = append(unread, p.where()+": "+why)
		case strings.TrimSpace(body) == strings.TrimSpace(d.Actions.Body(route)):
		case strings.TrimSpace(body) == former:
			old = append(old, p.where())
		case !strings.Contains(comments.ReplaceAllString(body, ""), must):
			lacks = append(lacks, p.where())
		case route == "reserve" && !strings.Contains(comments.ReplaceAllString(body, ""), "symbolon_invite"):
			uninvited = append(uninvited, p.where())
		default:
			differs = append(differs, p.where())
		}
	}
	switch {
	case len(lacks) > 0:
		return problem("the body of %s does not send %s, in %s", route, must, strings.Join(lacks, ", ")).breaks("%s", breaks).fix("%s", printAgain)
	case len(old) > 0:
		return d.oldBody(route, old)
	case len(uninvited) > 0:
		return problem("the body of %s does not send %s, in %s", route, sendsInvite, strings.Join(uninvited, ", ")).
			breaks("an invite has no effect, and its person gets a new user").fix("%s", printAgain)
	case len(differs) > 0:
		return unknown("print it again, because the columns may have changed: "+printAgain+"; or test it with --live",
			"the body of %s differs from the printed one, in %s; the doctor does not run Jsonnet", route, strings.Join(differs, ", "))
	case len(unread) > 0:
		return unknown("run the doctor on Kratos' machine, or test it with --live", "the body of %s cannot be read here: %s", route, strings.Join(unread, "; "))
	}
	return d.all(route, "sends the printed body")
}

// sendsInvite is what the reserve hook must send for invites.
const sendsInvite = "transient_payload.symbolon_invite"

// withoutOrWithWhen returns the Actions without users.when if it is set, and with it if it is not.
func (d *Doctor) withoutOrWithWhen() hooks.Actions {
	a := d.Actions
	a.When = link.When{Verified: !a.When.Chooses()}
	return a
}

// oldBody says what a body costs that was printed before users.when was set or removed.
func (d *Doctor) oldBody(route string, at []string) Result {
	if !d.Actions.When.Chooses() {
		return problem("the body of %s was printed for users.when, which is not set, in %s", route, strings.Join(at, ", ")).
			breaks("nothing yet; Kratos sends values that Symbolon does not need").fix("%s", printAgain)
	}
	lost := map[string]string{"reserve": "it may reserve no ID for identities that get a user", "link": "people get their user at their first request only"}[route]
	return problem("the body of %s was printed before users.when was set, in %s", route, strings.Join(at, ", ")).
		breaks("Symbolon does not receive schema_id and verified, by which users.when decides, so that %s", lost).fix("%s", printAgain)
}

var comments = regexp.MustCompile(`(?s)/\*.*?\*/|//[^\n]*|#[^\n]*`)

// source returns the Jsonnet of a body in Kratos' configuration, or why it cannot be read.
func source(body string) (text, why string) {
	scheme, rest, _ := strings.Cut(body, "://")
	switch {
	case body == "":
		return "", "" // without a body Kratos fails every call
	case scheme == "base64":
		raw, err := base64.StdEncoding.DecodeString(rest)
		if err != nil {
			return "", "it is not base64"
		}
		return string(raw), ""
	case scheme == "file":
		path, err := url.PathUnescape(rest)
		if err != nil {
			return "", "its path cannot be read"
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return "", "the file cannot be opened"
		}
		return string(raw), ""
	}
	return "", "the doctor does not read " + scheme + "://"
}
