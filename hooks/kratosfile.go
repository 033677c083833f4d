package hooks

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// KratosFile is the part of a Kratos configuration about methods and hooks.
type KratosFile struct {
	self map[string]any // the section selfservice
}

// ReadKratos reads one configuration or several, in the order of `kratos serve -c`.
// Mappings are merged; a later list or value replaces an earlier one. ReadKratos does not
// read the settings that Kratos takes from environment variables.
func ReadKratos(docs ...[]byte) (*KratosFile, error) {
	f, err := readKratos(docs...)
	if err == nil && len(f.self) == 0 {
		return nil, errors.New("read the Kratos configuration: it has no section selfservice")
	}
	return f, err
}

// readKratos is ReadKratos for a configuration that may have no section selfservice.
func readKratos(docs ...[]byte) (*KratosFile, error) {
	whole := map[string]any{}
	for _, doc := range docs {
		var top map[string]any
		if err := yaml.Unmarshal(doc, &top); err != nil {
			return nil, fmt.Errorf("read the Kratos configuration: %w", err)
		}
		overlay(whole, top)
	}
	return &KratosFile{sub(whole, "selfservice")}, nil
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

// RegistrationMethods are the methods by which people can sign up and for which Ory has a
// hook list.
func (f *KratosFile) RegistrationMethods() (out []string) {
	if sub(f.self, "flows", "registration")["enabled"] == false {
		return nil
	}
	for _, m := range slices.Concat(flowMethods["registration"], licensed["registration"]) {
		if f.registers(m) {
			out = append(out, m)
		}
	}
	return out
}

// registers reports whether people can sign up by a method. By Kratos' defaults only
// password and code are enabled. The methods code and webauthn allow a sign-up only if they
// are configured as passwordless.
func (f *KratosFile) registers(method string) bool {
	m := sub(f.self, "methods", method)
	on := m["enabled"] == true || m["enabled"] == nil && (method == "password" || method == "code")
	switch method {
	case "code":
		return on && m["passwordless_enabled"] == true
	case "webauthn":
		return on && sub(m, "config")["passwordless"] == true
	}
	return on
}

// list returns the hook list of a method after a flow. "" is the global list.
func (f *KratosFile) list(flow, method string) []any {
	after := sub(f.self, "flows", flow, "after")
	if method != "" {
		after = sub(after, method)
	}
	list, _ := after["hooks"].([]any)
	return list
}

// effective returns the hooks that run after a method: its own list, or else the global
// list.
func (f *KratosFile) effective(flow, method string) []any {
	if own := f.list(flow, method); len(own) > 0 {
		return own
	}
	return f.list(flow, "")
}

// sub follows keys to an object. It returns an empty map if there is no object.
func sub(m map[string]any, keys ...string) map[string]any {
	for _, key := range keys {
		m, _ = m[key].(map[string]any)
	}
	return m
}

// Lists are the hook lists that run after a flow, by method. "" is the global list.
func (f *KratosFile) Lists(flow string) map[string][]Hook {
	out := map[string][]Hook{}
	for method := range sub(f.self, "flows", flow, "after") {
		if method == "hooks" { // the global list itself
			method = ""
		}
		if list := f.list(flow, method); len(list) > 0 {
			out[method] = readHooks(list)
		}
	}
	return out
}

// Hook is one hook of a list.
type Hook struct {
	Name string // web_hook, session, …
	URL  string

	// Route is reserve, link or sync if the URL is one of Symbolon's; otherwise it is
	// empty.
	Route string

	Parse, Ignore, Interrupt bool

	// Auth is "api_key" or "basic_auth". In is "header" or "cookie". Header is the name of
	// that header or cookie, and Key is its secret value.
	Auth, In, Header, Key string

	Body string // as configured: base64://…, file://…
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

// Before reports whether the hook runs before Ory stores the identity, so that it can change
// or refuse the registration.
func (h Hook) Before() bool { return h.Name == "web_hook" && (h.Parse || h.Interrupt) }

// Body returns the Jsonnet that Actions writes for a route.
func (a Actions) Body(route string) string {
	switch route {
	case "reserve":
		return a.reserveBody()
	case "link":
		return a.linkBody()
	}
	return syncBody
}
