package doctor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon/hooks"
)

// placed is one of Symbolon's hooks and its place in the configuration.
type placed struct {
	hooks.Hook
	flow, method string // method empty: the flow's global list
	at           int
	list         []hooks.Hook
}

func (p placed) where() string {
	if p.method == "" {
		return p.flow + ".after"
	}
	return p.flow + ".after." + p.method
}

// placed lists Symbolon's hooks in the Kratos configuration, in a stable order.
func (d *Doctor) placed() (out []placed) {
	if d.Kratos == nil {
		return nil
	}
	for _, flow := range []string{"registration", "login", "settings", "verification", "recovery"} {
		lists := d.Kratos.Lists(flow)
		for _, method := range slices.Sorted(maps.Keys(lists)) {
			for i, h := range lists[method] {
				if h.Route != "" {
					out = append(out, placed{h, flow, method, i, lists[method]})
				}
			}
		}
	}
	return out
}

// find returns the places of a route's hooks for which the function match returns true. If
// route is empty, it looks at the hooks of every route.
func (d *Doctor) find(route string, match func(placed) bool) (where []string) {
	for _, p := range d.placed() {
		if (route == "" || p.Route == route) && match(p) {
			where = append(where, p.where())
		}
	}
	return slices.Compact(where)
}

const (
	printAgain = "run symbolon actions print --kratos-config FILE, merge its output into kratos.yml, and restart Kratos"
	noFile     = "Kratos' configuration was not given: use --kratos-config FILE, or test the hooks with --live"
)

// needFile requires Kratos' configuration.
func (d *Doctor) needFile() (Result, bool) { return skipped(noFile), d.Kratos != nil }

func (d *Doctor) checkGlobal(_ context.Context) Result {
	at := d.find("", func(p placed) bool { return p.flow == "registration" && p.method == "" })
	if len(at) == 0 {
		return well("no Symbolon hook is in the global list, registration.after.hooks")
	}
	r := problem("Symbolon hooks are in the global list, registration.after.hooks")
	if own := d.ownLists(); len(own) > 0 {
		r = problem("Symbolon hooks are in the global list, registration.after.hooks; Kratos ignores this list for methods that have their own: %s", strings.Join(own, ", "))
	}
	return r.breaks("Kratos never calls a hook with parse from the global list; if a method has its own list, such as {hook: session}, Kratos ignores the global list for it; so people get a user at their first request only").
		fix("move the hooks into the list of each method, registration.after.METHOD.hooks: %s", printAgain)
}

// ownLists returns the sign-up methods that have their own list.
func (d *Doctor) ownLists() (out []string) {
	lists := d.Kratos.Lists("registration")
	for _, m := range d.Kratos.RegistrationMethods() {
		if len(lists[m]) > 0 {
			out = append(out, m)
		}
	}
	return out
}

// without returns the sign-up methods without a hook of the route. A route in the global
// list is not reported here, because check hooks.global reports it.
func (d *Doctor) without(route string) (out []string) {
	lists := d.Kratos.Lists("registration")
	has := func(list []hooks.Hook) bool {
		return slices.ContainsFunc(list, func(h hooks.Hook) bool { return h.Route == route })
	}
	for _, m := range d.Kratos.RegistrationMethods() {
		if !has(lists[m]) && !has(lists[""]) {
			out = append(out, m)
		}
	}
	return out
}

func (d *Doctor) checkReserveMissing(_ context.Context) Result {
	if !d.Actions.Reserves() {
		return skipped(noReserve)
	}
	return d.checkMissing("reserve", "with these methods an identity is created without the user's ID, so programs that read the ID from the identity do not find it; nothing in Symbolon depends on it",
		printAgain+"; if the hook is left out on purpose, run symbolon doctor --without-reserve")
}

const noReserve = "no ID is reserved, because --without-reserve is set, back_reference.write is none, or the IDs of users.new_id cannot be reserved"

func (d *Doctor) checkLinkMissing(_ context.Context) Result {
	return d.checkMissing("link", "people who sign up with these methods have no user before their first request", printAgain)
}

func (d *Doctor) checkMissing(route, breaks, fix string) Result {
	missing := d.without(route)
	if len(missing) == 0 {
		return well("every sign-up method has the %s hook (%s)", route, d.methods())
	}
	return problem("no %s hook for %s", route, strings.Join(missing, ", ")).breaks("%s", breaks).fix("%s", fix)
}

func (d *Doctor) methods() string {
	if all := d.Kratos.RegistrationMethods(); len(all) > 0 {
		return strings.Join(all, ", ")
	}
	return "self-service sign-up is off"
}

// all returns the good result of a check that covers every hook of a route.
func (d *Doctor) all(route, is string) Result {
	if at := d.find(route, func(placed) bool { return true }); len(at) == 0 {
		return skipped("there is no %s hook", route)
	}
	return well("every %s hook %s", route, is)
}

func (d *Doctor) checkInterrupt(_ context.Context) Result {
	var is []string
	for _, p := range d.placed() {
		if p.Interrupt {
			is = append(is, fmt.Sprintf("%s in %s", p.Route, p.where()))
		}
	}
	if len(is) == 0 {
		return well("no Symbolon hook has can_interrupt")
	}
	return problem("can_interrupt is set on %s", strings.Join(is, ", ")).
		breaks("Kratos calls the hook before the identity exists, and does not read the answer; so link refuses every sign-up, and the ID of reserve is lost").
		fix("remove can_interrupt, set response: {parse: true} for reserve, and set response: {ignore: true} for link and sync; or %s", printAgain)
}
