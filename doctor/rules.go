package doctor

import (
	"context"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon/hooks"
)

// hookRule is a check that looks at each hook of a route by itself.
type hookRule struct {
	route  string
	broken func(placed) bool
	good   string // what is true of every hook if none is broken
	is     string // what is wrong with the broken ones; their places follow
	breaks string
	fix    string
}

var reserveParse = hookRule{
	route:  "reserve",
	broken: func(p placed) bool { return !p.Parse && !p.Interrupt },
	good:   "has response.parse: true",
	is:     "reserve without response.parse: true",
	breaks: "Kratos does not read the answer, and the ID is lost; the call comes after the identity was stored, so that an outage of Symbolon shows an error to people whose account exists",
	fix:    "set response: {parse: true} there: " + printAgain,
}

var reserveLast = hookRule{
	route: "reserve",
	broken: func(p placed) bool {
		return p.Before() && slices.ContainsFunc(p.list[p.at+1:], func(h hooks.Hook) bool { return h.Before() && h.Route == "" })
	},
	good:   "comes after all other hooks that Kratos waits for",
	is:     "a hook with parse or can_interrupt stands behind reserve",
	breaks: "where that hook answers with metadata_public it replaces all of it, and the reserved ID is lost for everybody who signs up",
	fix:    "put reserve behind it, as the last hook with parse: " + printAgain,
}

var linkParse = hookRule{
	route:  "link",
	broken: func(p placed) bool { return p.Parse },
	good:   "leaves parse alone",
	is:     "link with response.parse: true",
	breaks: "nobody can sign up: Kratos calls it before there is an identity, with an ID of zeros, and Symbolon's refusal refuses the registration",
	fix:    "set response: {ignore: true} there, without parse: " + printAgain,
}

var linkIgnore = hookRule{
	route:  "link",
	broken: func(p placed) bool { return !p.Ignore && !p.Parse && !p.Interrupt },
	good:   "is not waited for (response.ignore)",
	is:     "link without response.ignore: true",
	breaks: "an outage of Symbolon shows an error, up to a minute later, to everybody who signs up, although the account exists; trying again they are told that it exists already",
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
