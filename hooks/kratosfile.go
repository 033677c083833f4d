package hooks

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// KratosFile is what a Kratos configuration says of methods and hooks.
type KratosFile struct {
	methods map[string]any
	flows   map[string]any
}

// ReadKratos reads one configuration, or several that are given to `kratos serve -c`
// one after the other: a later one wins, mappings are merged, lists are replaced. What
// Kratos reads from its environment is not seen.
func ReadKratos(docs ...[]byte) (*KratosFile, error) {
	whole := map[string]any{}
	for _, doc := range docs {
		var top map[string]any
		if err := yaml.Unmarshal(doc, &top); err != nil {
			return nil, fmt.Errorf("read the Kratos configuration: %w", err)
		}
		overlay(whole, top)
	}
	self := sub(whole, "selfservice")
	if len(self) == 0 {
		return nil, fmt.Errorf("read the Kratos configuration: it has no section selfservice")
	}
	return &KratosFile{methods: sub(self, "methods"), flows: sub(self, "flows")}, nil
}

func overlay(below, above map[string]any) {
	for key, value := range above {
		part, isMap := value.(map[string]any)
		if old, wasMap := below[key].(map[string]any); isMap && wasMap {
			overlay(old, part)
			continue
		}
		below[key] = value
	}
}

// RegistrationMethods are the methods by which people can sign up, as far as they have
// a hook list of their own.
func (f *KratosFile) RegistrationMethods() (out []string) {
	if sub(f.flows, "registration")["enabled"] == false {
		return nil
	}
	for _, m := range flowMethods["registration"] {
		if f.registers(m) {
			out = append(out, m)
		}
	}
	return out
}

// registers knows Kratos' defaults: only password and code are on by themselves, and
// code and webauthn sign up only where they are told to.
func (f *KratosFile) registers(method string) bool {
	m := sub(f.methods, method)
	on := m["enabled"] == true || m["enabled"] == nil && (method == "password" || method == "code")
	switch method {
	case "code":
		return on && m["passwordless_enabled"] == true
	case "webauthn":
		return on && sub(m, "config")["passwordless"] == true
	}
	return on
}

// Lists are the hook lists after a flow: by method, and "" is the global one.
func (f *KratosFile) Lists(flow string) map[string][]Hook {
	after := sub(sub(f.flows, flow), "after")
	out := map[string][]Hook{}
	for _, key := range slices.Sorted(maps.Keys(after)) {
		if list, ok := sub(after, key)["hooks"].([]any); ok && len(list) > 0 {
			out[key] = readHooks(list)
		}
	}
	if list, ok := after["hooks"].([]any); ok && len(list) > 0 {
		out[""] = readHooks(list)
	}
	return out
}

// Hook is one hook of a list.
type Hook struct {
	Name string // web_hook, session, …
	URL  string

	// Route is reserve, link or sync where the hook is one of Symbolon's by its URL.
	Route string

	Parse, Ignore, Interrupt bool

	// Auth is api_key or basic_auth, In header or cookie, Header the name, Key the value.
	Auth, In, Header, Key string

	Body string // as it stands: base64://…, file://…
}

func readHooks(list []any) []Hook {
	out := make([]Hook, len(list))
	for i, item := range list {
		h, _ := item.(map[string]any)
		config := sub(h, "config")
		response, auth := sub(config, "response"), sub(config, "auth")
		key := sub(auth, "config")
		out[i] = Hook{Name: text(h["hook"]), URL: text(config["url"]), Parse: response["parse"] == true,
			Ignore: response["ignore"] == true, Interrupt: config["can_interrupt"] == true, Auth: text(auth["type"]),
			In: text(key["in"]), Header: text(key["name"]), Key: text(key["value"]), Body: text(config["body"])}
		if out[i].Name == "web_hook" {
			out[i].Route = routeOf(out[i].URL)
		}
	}
	return out
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

func routeOf(at string) string {
	u, err := url.Parse(at)
	if err != nil {
		return ""
	}
	for _, route := range []string{"reserve", "link", "sync"} {
		if strings.HasSuffix(u.Path, "/hooks/"+route) {
			return route
		}
	}
	return ""
}

// Before reports whether Ory waits for the hook before it stores the identity, and
// lets it change or refuse that.
func (h Hook) Before() bool { return h.Name == "web_hook" && (h.Parse || h.Interrupt) }

// Body is the Jsonnet that is printed for a route.
func (a Actions) Body(route string) string {
	switch route {
	case "reserve":
		return reserveBody
	case "link":
		return a.linkBody()
	}
	return syncBody
}

// Reserves reports whether the reserve hook is printed.
func (a Actions) Reserves() bool { return a.reserves() }
