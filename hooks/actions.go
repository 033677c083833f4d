package hooks

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/projection"
)

// Actions is the configuration that Ory needs to call the hooks. By default every method of
// every flow gets its hooks, and Ory ignores the answers of link and sync. Login has no hook
// that Ory waits for, so that people can sign in during an outage of Symbolon. It has the hook
// sync only for the methods oidc and saml, whose providers may change the identity at a
// sign-in, and only with Existing.
type Actions struct {
	// URL is the address of the hooks as Ory sees it, without the path:
	// https://symbolon.internal.
	URL string

	// Keys are the keys of the routes. Ory sends the first key of each.
	Keys Keys

	// BackReference must equal Linker.BackReference, and Columns must equal Users.Columns
	// of the store. The link hook sends the values that they need.
	BackReference link.BackReference
	Columns       map[string]string

	// When must equal Linker.When. The hooks reserve and link send what it decides by.
	When link.When

	// NewID is the NewID of the store. Minted IDs can be reserved. IDs that the database
	// makes can be reserved if Draws is set, because the store has a DrawDB.
	NewID symbolon.NewID
	Draws bool

	// Invites writes the reserve hook even if no ID can be reserved, because link.Linker.Invite
	// needs this hook.
	Invites bool

	// WithoutReserve leaves out the reserve hook, the only hook that a sign-up waits for.
	WithoutReserve bool

	// Methods names the methods to configure, for registration and settings. Methods that a
	// flow does not have are left out there. Defaults to all methods of the open-source Kratos
	// and, with Existing, those of saml and deviceauthn that are enabled in it.
	Methods []string

	// Existing is the current kratos.yml, if there is one. Its hooks stay, in their order;
	// hooks below URL are replaced. In Ory the list of a method replaces the flow's global
	// list. So a method without a list gets a copy of the global list.
	Existing []byte
}

// The methods that have a hook list of their own (ORY's embedx/config.schema.json).
var flowMethods = map[string][]string{
	"registration": {"password", "oidc", "webauthn", "passkey", "code"},
	"settings":     {"password", "totp", "oidc", "webauthn", "passkey", "lookup_secret", "profile"},
}

// Check reports every error in the configuration.
func (a Actions) Check() error {
	faults := []error{a.Keys.Check()}
	u, err := url.Parse(a.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.RawQuery != "" || u.User != nil {
		faults = append(faults, errors.New("the hooks' URL must be http(s)://host[:port][/path], without a user and a query"))
	}
	for _, m := range a.Methods {
		if !slices.Contains(allMethods(), m) {
			faults = append(faults, fmt.Errorf("method %q is not a method of Ory; its methods are %s", m, strings.Join(allMethods(), ", ")))
		}
	}
	if _, errs := projection.ParseAll(a.Columns); len(errs) > 0 {
		faults = append(faults, errs...)
	}
	return errors.Join(faults...)
}

// WriteKratos writes the part of a kratos.yml that has the hooks. Its lists replace the
// lists at the same places in your file.
//
// Danger: it contains keys. Treat it as a secret.
func (a Actions) WriteKratos(w io.Writer) error {
	lists, err := a.lists()
	if err != nil {
		return err
	}
	flows := map[string]any{}
	for _, l := range lists {
		graft(flows, strings.Split(l.path+"/hooks", "/"), l.hooks)
	}
	doc := map[string]any{"selfservice": map[string]any{"flows": flows}}
	if _, err := io.WriteString(w, kratosHead+a.headOfLists()); err != nil {
		return fmt.Errorf("write the Ory configuration: %w", err)
	}
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(doc); err != nil {
		return fmt.Errorf("write the Ory configuration: %w", err)
	}
	return e.Close()
}

const kratosHead = `# Ory Kratos: the hooks of Symbolon. Merge this into kratos.yml; it holds keys.
# If a method has its own list of hooks, Ory ignores the flow's global list for it.
# So each list here contains all hooks of its method.
`

// headOfLists says which hooks of others are in the lists.
func (a Actions) headOfLists() string {
	old, err := readKratos(a.Existing)
	if err != nil {
		return "" // lists has reported it
	}
	if len(a.Existing) > 0 {
		return "# The hooks of your configuration are in the lists, at their places.\n" + a.headOfLogin(old)
	}
	return "# The hook session is in the lists so that people are signed in after the sign-up.\n" +
		"# Remove it if that is not wanted. If you have hooks already, print this with\n" +
		"# --kratos-config FILE, which keeps your hooks and adds no session.\n" + a.headOfLogin(old)
}

// WriteNetwork writes the same for Ory Network: a shell script with one call of Ory's CLI.
// The script needs the project's ID in $PROJECT.
func (a Actions) WriteNetwork(w io.Writer) error {
	lists, err := a.lists()
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("#!/bin/sh\n# Ory Network: the hooks of Symbolon. It holds keys. Run it with PROJECT=<project ID>.\n" + a.headOfLists() +
		"ory patch identity-config \"${PROJECT:?set PROJECT to the ID of the Ory project}\"")
	for _, l := range lists {
		raw, err := json.Marshal(l.hooks)
		if err != nil {
			return fmt.Errorf("write the Ory configuration: %w", err)
		}
		op := "/selfservice/flows/" + l.path + "/hooks=" + string(raw)
		b.WriteString(" \\\n  --replace '" + strings.ReplaceAll(op, "'", `'\''`) + "'")
	}
	b.WriteString("\n")
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the Ory configuration: %w", err)
	}
	return nil
}

// list is a list of hooks, with its path below selfservice.flows.
type list struct {
	path  string
	hooks []any
}

// lists builds the lists of every flow, in the order of their paths.
func (a Actions) lists() ([]list, error) {
	if err := a.Check(); err != nil {
		return nil, err
	}
	old, err := readKratos(a.Existing)
	if err != nil {
		return nil, err
	}
	var out []list
	for flow := range flowMethods {
		for _, m := range a.methods(flow, old) {
			out = append(out, list{flow + "/after/" + m, a.merge(flow, old.effective(flow, m))})
		}
	}
	atLogin, _ := a.loginLists(old)
	out = append(out, atLogin...)
	for _, flow := range []string{"verification", "recovery"} { // they have one list for all methods
		out = append(out, list{flow + "/after", a.merge(flow, old.list(flow, ""))})
	}
	slices.SortFunc(out, func(x, y list) int { return strings.Compare(x.path, y.path) })
	return out, nil
}

// merge adds the hooks of Symbolon to a list. Reserve comes after the last hook that can
// refuse or change the registration, so that it sees the changes. Link and sync come at
// the end.
func (a Actions) merge(flow string, existing []any) []any {
	var out []any
	lastParse := 0
	for _, h := range existing {
		if a.ours(h) {
			continue
		}
		out = append(out, h)
		if parses(h) {
			lastParse = len(out)
		}
	}
	if flow != "registration" {
		return append(out, a.hook("sync", syncBody, ignore))
	}
	if len(a.Existing) == 0 {
		out = append(out, map[string]any{"hook": "session"})
	}
	if a.Reserves() {
		out = slices.Insert(out, lastParse, a.hook("reserve", a.reserveBody(), parse))
	}
	return append(out, a.hook("link", a.linkBody(), ignore))
}

// ours reports whether a hook is one of Symbolon's, by its URL.
func (a Actions) ours(hook any) bool {
	h, _ := hook.(map[string]any)
	at, _ := sub(h, "config")["url"].(string)
	return strings.HasPrefix(at, strings.TrimSuffix(a.URL, "/")+"/hooks/")
}

// parses reports whether a hook runs before the identity is stored.
func parses(hook any) bool {
	h, _ := hook.(map[string]any)
	return sub(h, "config", "response")["parse"] == true || sub(h, "config")["can_interrupt"] == true
}

func (a Actions) linkBody() string {
	return linkBody(a.BackReference.WithDefaults().Key, projection.Paths(a.Columns), a.proved(), a.When.Chooses())
}

func (a Actions) reserveBody() string {
	if a.When.Chooses() {
		return reserveBodyWhen
	}
	return reserveBody
}

// Reserves reports whether Actions writes the reserve hook.
func (a Actions) Reserves() bool {
	ids := a.NewID == "" || a.NewID == symbolon.ByMint || a.proved()
	reserves := ids && a.BackReference.WithDefaults().Write != link.WriteNone
	return !a.WithoutReserve && (reserves || a.Invites)
}

// proved reports whether reserved IDs have a proof beside them.
func (a Actions) proved() bool {
	return a.NewID.Proved() && (a.NewID != symbolon.ByDatabase || a.Draws)
}

// webHook is one hook of Ory's configuration, with its keys in a readable order.
type webHook struct {
	Hook   string        `yaml:"hook" json:"hook"`
	Config webHookConfig `yaml:"config" json:"config"`
}

type webHookConfig struct {
	URL      string          `yaml:"url" json:"url"`
	Method   string          `yaml:"method" json:"method"`
	Response map[string]bool `yaml:"response" json:"response"`
	Auth     webHookAuth     `yaml:"auth" json:"auth"`
	Body     string          `yaml:"body" json:"body"`
}

type webHookAuth struct {
	Type   string            `yaml:"type" json:"type"`
	Config map[string]string `yaml:"config" json:"config"`
}

// How Ory uses a hook's answer: the answer of reserve changes the registration, and Ory
// does not wait for the answers of link and sync.
var (
	parse  = map[string]bool{"parse": true}
	ignore = map[string]bool{"ignore": true}
)

func (a Actions) hook(route, body string, response map[string]bool) any {
	key := map[string]string{"reserve": first(a.Keys.Reserve), "link": first(a.Keys.Link), "sync": first(a.Keys.Sync)}[route]
	return webHook{Hook: "web_hook", Config: webHookConfig{
		URL:      strings.TrimSuffix(a.URL, "/") + "/hooks/" + route,
		Method:   "POST",
		Response: response,
		Auth:     webHookAuth{Type: "api_key", Config: map[string]string{"name": KeyHeader, "value": key, "in": "header"}},
		Body:     "base64://" + base64.StdEncoding.EncodeToString([]byte(body)),
	}}
}

func first(keys []string) string {
	if len(keys) == 0 {
		return ""
	}
	return keys[0]
}

func allMethods() []string {
	out := slices.Concat(flowMethods["registration"], flowMethods["settings"], licensed["registration"])
	slices.Sort(out)
	return slices.Compact(out)
}
