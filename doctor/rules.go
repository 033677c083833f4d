package doctor

import (
	"context"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon/hooks"
)

// hookRule is a check of each single hook of a route.
type hookRule struct {
	route  string
	broken func(placed) bool
	good   string // the text about every hook, if no hook is broken
	is     string // the fault of the broken hooks; their places follow
	breaks string
	fix    string
}

var reserveParse = hookRule{
	route:  "reserve",
	broken: func(p placed) bool { return !p.Parse && !p.Interrupt },
	good:   "has response.parse: true",
	is:     "reserve without response.parse: true",
	breaks: "Kratos does not read the answer, and the ID is lost; Kratos calls the hook after the identity was stored, so an outage of Symbolon shows an error to people whose account exists",
	fix:    "set response: {parse: true} there: " + printAgain,
}

var reserveLast = hookRule{
	route: "reserve",
	broken: func(p placed) bool {
		return p.Before() && slices.ContainsFunc(p.list[p.at+1:], func(h hooks.Hook) bool { return h.Before() && h.Route == "" })
	},
	good:   "comes after all other hooks that Kratos waits for",
	is:     "a hook with parse or can_interrupt comes after reserve",
	breaks: "if that hook answers with metadata_public, its value replaces the whole metadata_public, and the reserved ID is lost for everybody who signs up",
	fix:    "move reserve behind that hook, so that reserve is the last hook with parse: " + printAgain,
}

var linkParse = hookRule{
	route:  "link",
	broken: func(p placed) bool { return p.Parse },
	good:   "has no response.parse",
	is:     "link with response.parse: true",
	breaks: "nobody can sign up: Kratos calls the hook before the identity exists, with an ID of zeros; Symbolon refuses the call, and so Kratos refuses the registration",
	fix:    "set response: {ignore: true} there, without parse: " + printAgain,
}

var linkIgnore = hookRule{
	route:  "link",
	broken: func(p placed) bool { return !p.Ignore && !p.Parse && !p.Interrupt },
	good:   "has response.ignore: true, so Kratos does not wait for it",
	is:     "link without response.ignore: true",
	breaks: "an outage of Symbolon shows an error, up to a minute later, to everybody who signs up, although the account exists; if they try again, Ory says that the account exists already",
	fix:    "set response: {ignore: true} there: " + printAgain,
}

func hookCheck(rule hookRule) func(*Doctor, context.Context) Result {
	return func(d *Doctor, _ context.Context) Result {
		at := d.find(rule.route, rule.broken)
		if len(at) == 0 {
			return d.all(rule.route, rule.good)
		}
		return problem("%s, in %s", rule.is, strings.Join(at, ", ")).breaks("%s", rule.breaks).fix("%s", rule.fix)
	}
}
