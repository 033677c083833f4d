package hooks

import (
	"fmt"
	"slices"
	"strings"
)

// licensed are the methods that only Ory Network and Ory's Enterprise License have, by flow.
// The open-source Kratos does not start with their keys. So they are configured only if
// Actions.Methods or the existing configuration names them.
var licensed = map[string][]string{"registration": {"saml", "deviceauthn"}}

// loginMethods are the methods whose providers may change the identity at a sign-in: by
// update_identity_on_login: automatic. No settings hook runs then.
var loginMethods = []string{"oidc", "saml"}

// loginHooks are the hooks that Kratos takes in the list of a method of loginMethods. The
// global list takes others, too.
var loginHooks = []string{"web_hook", "revoke_active_sessions", "require_verified_address", "b2b_sso"}

// methods are the methods of a flow that get a list of their own.
func (a Actions) methods(flow string, old *KratosFile) (out []string) {
	for _, m := range flowMethods[flow] {
		if len(a.Methods) == 0 || slices.Contains(a.Methods, m) || len(old.list(flow, m)) > 0 {
			out = append(out, m)
		}
	}
	for _, m := range licensed[flow] {
		if a.names(m, old) || len(old.list(flow, m)) > 0 {
			out = append(out, m)
		}
	}
	return out
}

// names reports whether a method is to be configured: it is in Actions.Methods or, if that is
// empty, enabled in the existing configuration.
func (a Actions) names(method string, old *KratosFile) bool {
	return slices.Contains(a.Methods, method) || len(a.Methods) == 0 && old.enabled(method)
}

// loginLists builds the lists of the methods that may change the identity at a sign-in. A list
// of a method switches the global list of the flow off, so each list begins with the hooks that
// run now. unfit has the methods whose list is left out, with the hook that the list of a
// method cannot have. Without the existing configuration, the hooks that run now are unknown,
// and there is no list.
func (a Actions) loginLists(old *KratosFile) (out []list, unfit map[string]string) {
	unfit = map[string]string{}
	if len(a.Existing) == 0 {
		return nil, unfit
	}
	for _, m := range loginMethods {
		if own := len(old.list("login", m)) > 0; !own && !a.names(m, old) {
			continue
		}
		hooks := a.merge("login", old.effective("login", m))
		if other := foreign(hooks); other != "" && len(old.list("login", m)) == 0 {
			unfit[m] = other
			continue
		}
		out = append(out, list{"login/after/" + m, hooks})
	}
	return out, unfit
}

// foreign returns the first hook that only a global list takes.
func foreign(hooks []any) string {
	for _, h := range hooks {
		item, _ := h.(map[string]any)
		if name := text(item["hook"]); item != nil && !slices.Contains(loginHooks, name) {
			return name
		}
	}
	return ""
}

// headOfLogin says what the lists of the flow login are for, or why they are left out.
func (a Actions) headOfLogin(old *KratosFile) string {
	if len(a.Existing) == 0 {
		if len(a.Methods) > 0 && !slices.ContainsFunc(loginMethods, func(m string) bool { return slices.Contains(a.Methods, m) }) {
			return ""
		}
		return "# No hook runs after a sign-in: a list there would switch off your global hooks of\n" +
			"# login.after, which only --kratos-config FILE shows. You need the hook if an OIDC\n" +
			"# provider has update_identity_on_login: automatic.\n"
	}
	var b strings.Builder
	lists, unfit := a.loginLists(old)
	for _, l := range lists {
		fmt.Fprintf(&b, "# %s has the hook sync for update_identity_on_login: automatic. The list\n"+
			"# replaces the global list login.after.hooks, whose hooks are copied into it. Remove the\n"+
			"# list if no provider has this setting.\n", strings.ReplaceAll(l.path, "/", "."))
	}
	for _, m := range loginMethods {
		if other := unfit[m]; other != "" {
			fmt.Fprintf(&b, "# No hook runs after a sign-in by %s: its list would switch off the global list, and\n"+
				"# Kratos does not accept the global hook %s in the list of this method.\n", m, other)
		}
	}
	return b.String()
}

// enabled reports whether a method is switched on by the configuration itself. Kratos'
// defaults do not switch the methods on for which this is asked.
func (f *KratosFile) enabled(method string) bool {
	return sub(f.self, "methods", method)["enabled"] == true
}

// Provider is an identity provider that may change an identity at each sign-in.
type Provider struct {
	Method string // oidc or saml
	ID     string
	Mapper string // as configured: base64://…, file://…
}

// UpdatingProviders are the providers with update_identity_on_login: automatic whose method is
// enabled.
func (f *KratosFile) UpdatingProviders() (out []Provider) {
	for _, m := range loginMethods {
		if !f.enabled(m) {
			continue
		}
		all, _ := sub(f.self, "methods", m, "config")["providers"].([]any)
		for _, item := range all {
			p, _ := item.(map[string]any)
			if p["update_identity_on_login"] == "automatic" {
				out = append(out, Provider{Method: m, ID: text(p["id"]), Mapper: text(p["mapper_url"])})
			}
		}
	}
	return out
}

// AfterLogin are the hooks that run after a sign-in by a method.
func (f *KratosFile) AfterLogin(method string) []Hook { return readHooks(f.effective("login", method)) }
