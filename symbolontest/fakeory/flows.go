package fakeory

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// flow is a self-service form. It can be submitted again: one registration flow can
// create several identities.
type flow struct {
	kind, id, form, csrf string
	issued               time.Time
	requestURL           string
}

type submitted struct {
	Method     string          `json:"method"`
	Password   string          `json:"password"`
	Identifier string          `json:"identifier"`
	Traits     json.RawMessage `json:"traits"`
	Transient  json.RawMessage `json:"transient_payload"`
}

func (o *Ory) beginFlow(r *http.Request) answer {
	kind := r.PathValue("kind")
	if kind != "registration" && kind != "login" && kind != "settings" {
		return plain404()
	}
	if _, _, _, ok := o.authenticate(r); kind == "settings" && !ok {
		return unauthorized()
	}
	f := &flow{kind: kind, id: newID(), form: "api", issued: time.Now().UTC(), requestURL: o.PublicURL + r.URL.RequestURI()}
	if strings.HasSuffix(r.URL.Path, "/browser") {
		f.form, f.csrf = "browser", secret(32)
	}
	o.data.mu.Lock()
	o.data.flows[f.id] = f
	o.data.mu.Unlock()
	return good(http.StatusOK, o.show(f, "choose_method", nil, ""))
}

// show returns the flow as JSON. A message whose pointer names a field is put at this
// field.
func (o *Ory) show(f *flow, state string, messages []fieldMessages, email string) map[string]any {
	ui := map[string]any{"action": o.action(f), "method": "POST"}
	on := map[string][]message{}
	for _, m := range messages {
		name := strings.ReplaceAll(strings.TrimPrefix(m.Pointer, "#/"), "/", ".")
		on[name] = append(on[name], m.Messages...)
	}
	nodes := o.nodes(f)
	for _, n := range nodes {
		attributes := n["attributes"].(map[string]any)
		name := attributes["name"].(string)
		if m := on[name]; name != "" && m != nil {
			n["messages"] = m
			if name == "traits.email" && email != "" {
				attributes["value"] = email
			}
			delete(on, name)
		}
	}
	ui["nodes"] = nodes
	for _, rest := range on {
		all, _ := ui["messages"].([]message)
		ui["messages"] = append(all, rest...)
	}
	shown := map[string]any{"id": f.id, "type": f.form, "issued_at": f.issued, "expires_at": f.issued.Add(time.Hour),
		"request_url": f.requestURL, "state": state, "ui": ui}
	if f.kind != "settings" {
		shown["organization_id"] = nil
	}
	if f.kind == "login" {
		shown["created_at"], shown["updated_at"] = f.issued, f.issued
		shown["active"], shown["refresh"], shown["requested_aal"] = "password", false, "aal1"
	}
	return shown
}

func (o *Ory) action(f *flow) string {
	return o.PublicURL + "/self-service/" + f.kind + "?flow=" + f.id
}

func (o *Ory) nodes(f *flow) []map[string]any {
	node := func(group string, label map[string]any, attributes map[string]any) map[string]any {
		attributes["disabled"], attributes["node_type"] = false, "input"
		meta := map[string]any{}
		if label != nil {
			meta["label"] = label
		}
		return map[string]any{"type": "input", "group": group, "messages": []message{}, "meta": meta, "attributes": attributes}
	}
	trait := func(name, title string, attributes map[string]any) map[string]any {
		context := map[string]any{"title": title}
		if o.config.Generation == V26 {
			context["name"] = "traits." + name
		}
		attributes["name"] = "traits." + name
		return node("default", map[string]any{"id": 1070002, "text": title, "type": "info", "context": context}, attributes)
	}
	csrf := node("default", nil, map[string]any{"name": "csrf_token", "type": "hidden", "value": f.csrf, "required": true})
	traits := []map[string]any{
		trait("email", "E-mail", map[string]any{"type": "email", "required": true, "autocomplete": "email"}),
		trait("name", "Name", map[string]any{"type": "text"}),
	}
	submit := node("profile", map[string]any{"id": 1040001, "text": "Sign up", "type": "info"},
		map[string]any{"name": "method", "type": "submit", "value": "profile"})
	if o.config.Generation == V26 {
		return append(append([]map[string]any{csrf}, traits...), submit)
	}
	return append(traits, csrf, submit)
}

// submission decodes a submitted form, or returns the answer that refuses it.
func (o *Ory) submission(r *http.Request) (f *flow, s submitted, refused *answer) {
	o.data.mu.Lock()
	f = o.data.flows[r.URL.Query().Get("flow")]
	o.data.mu.Unlock()
	if f == nil || "/self-service/"+f.kind != r.URL.Path {
		a := notFound()
		return nil, s, &a
	}
	if err := json.Unmarshal(bodyOf(r), &s); err != nil {
		a := failed(http.StatusBadRequest, errorBody{Message: err.Error()})
		return nil, s, &a
	}
	return f, s, nil
}

// refuse returns the form with an error message.
func (o *Ory) refuse(f *flow, pointer string, id int, text string) answer {
	return good(http.StatusBadRequest, o.show(f, "choose_method",
		[]fieldMessages{{Pointer: pointer, Messages: []message{{ID: id, Text: text, Type: "error"}}}}, ""))
}

func (o *Ory) hookRefused(f *flow, failure *hookFailure, email string) answer {
	if failure.messages == nil {
		return failure.answer
	}
	return good(http.StatusBadRequest, o.show(f, "choose_method", failure.messages, email))
}

func (o *Ory) taken(f *flow) answer {
	return o.refuse(f, "", 4000007, "An account with the same identifier (email, phone, username, ...) exists already.")
}

func disabled(id string) answer {
	return failed(http.StatusUnauthorized, errorBody{Reason: "This account was disabled.",
		Details: map[string]any{"identity_id": id}, Message: "identity is disabled"})
}

// hookContext is the ctx of the Jsonnet function of a hook.
func (o *Ory) hookContext(r *http.Request, f *flow, s submitted, state string, i identity) map[string]any {
	shown := o.show(f, state, nil, "")
	shown["transient_payload"] = map[string]any{}
	if !isNull(s.Transient) {
		shown["transient_payload"] = s.Transient
	}
	headers := map[string][]string{}
	for _, name := range []string{"Accept", "Accept-Encoding", "Accept-Language", "Content-Type", "Origin", "Referer", "User-Agent"} {
		if v := r.Header.Values(name); len(v) > 0 {
			headers[name] = v
		}
	}
	headers["Content-Length"] = []string{strconv.FormatInt(r.ContentLength, 10)}
	cookies := map[string]string{}
	for _, c := range r.Cookies() {
		cookies[c.Name] = c.Value
	}
	return map[string]any{"flow": shown, "identity": i.forPeople(), "request_headers": headers, "request_cookies": cookies,
		"request_method": r.Method, "request_url": o.PublicURL + r.URL.RequestURI()}
}

func (o *Ory) submitRegistration(r *http.Request) answer {
	f, s, refused := o.submission(r)
	if refused != nil {
		return *refused
	}
	i := &identity{ID: nilUUID, SchemaID: "default", State: "active", StateChangedAt: ptr(time.Now().UTC()), password: s.Password}
	if err := o.setTraits(i, s.Traits); err != nil {
		return o.refuse(f, "#/traits/email", 4000001, err.Error())
	}
	if len(s.Password) < 8 {
		return o.refuse(f, "#/password", 4000032, fmt.Sprintf("The password must be at least 8 characters long, but got %d.", len(s.Password)))
	}
	hooks := o.config.Hooks.Registration
	hookCtx := func() map[string]any { return o.hookContext(r, f, s, "choose_method", i.clone()) }
	if failure := o.before(r.Context(), hooks, i, hookCtx); failure != nil {
		return o.hookRefused(f, failure, strings.Join(i.identifiers(), ""))
	}
	if r.Context().Err() != nil { // the client closed the connection after the hook had agreed
		return answer{}
	}
	i.SchemaURL = o.schemaURL()
	if o.data.insert(i) != nil {
		return o.taken(f)
	}
	if i.State != "active" {
		return disabled(i.ID) // the hooks after the registration are not called
	}
	if failure := o.after(r.Context(), hooks, hookCtx); failure != nil {
		return o.hookRefused(f, failure, "")
	}
	done := map[string]any{"identity": i.forPeople(), "continue_with": nil}
	if o.config.Hooks.WithoutSession {
		return good(http.StatusOK, done)
	}
	return o.signIn(f, newSession(r, *i), done)
}

// signIn stores the session. A native application gets a token, a browser gets a cookie.
func (o *Ory) signIn(f *flow, session session, done map[string]any) answer {
	o.data.keep(session)
	done["session"] = session
	if f.form == "browser" {
		a := good(http.StatusOK, done)
		cookie := http.Cookie{Name: o.config.Cookie, Value: encodeCookie(session.token), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
		a.header.Add("Set-Cookie", cookie.String())
		return a
	}
	done["session_token"] = session.token
	if f.kind == "registration" {
		done["continue_with"] = []map[string]string{{"action": "set_ory_session_token", "ory_session_token": session.token}}
	}
	return good(http.StatusOK, done)
}

func (o *Ory) submitLogin(r *http.Request) answer {
	f, s, refused := o.submission(r)
	if refused != nil {
		return *refused
	}
	o.data.mu.Lock()
	id := o.data.emails[strings.ToLower(strings.TrimSpace(s.Identifier))]
	o.data.mu.Unlock()
	i, ok := o.data.get(id)
	switch {
	case !ok || i.password == "" || i.password != s.Password:
		return o.refuse(f, "", 4000006, "The provided credentials are invalid, check for spelling mistakes in your password or username, email address, or phone number.")
	case i.State != "active":
		return disabled(i.ID)
	}
	shown := i.clone() // changes by a parse hook are shown and not stored
	session := newSession(r, i)
	hookCtx := func() map[string]any {
		c := o.hookContext(r, f, s, "choose_method", i.clone())
		c["session"] = session
		return c
	}
	if failure := o.before(r.Context(), o.config.Hooks.Login, &shown, hookCtx); failure != nil {
		return o.hookRefused(f, failure, "")
	}
	if failure := o.after(r.Context(), o.config.Hooks.Login, hookCtx); failure != nil {
		return o.hookRefused(f, failure, "")
	}
	session.Identity = ptr(shown.forPeople())
	return o.signIn(f, session, map[string]any{"continue_with": nil})
}

// submitSettings writes the whole identity, which was read before the hooks ran. Changes
// in between are lost.
func (o *Ory) submitSettings(r *http.Request) answer {
	f, s, refused := o.submission(r)
	if refused != nil {
		return *refused
	}
	signedIn, i, _, ok := o.authenticate(r)
	if !ok {
		return unauthorized()
	}
	old := i.clone()
	if s.Method == "password" {
		i.password = s.Password
	} else {
		if err := o.setTraits(&i, s.Traits); err != nil {
			return o.refuse(f, "#/traits/email", 4000001, err.Error())
		}
		i.StateChangedAt = nil // all known versions of Kratos do this
	}
	hookCtx := func() map[string]any {
		c := o.hookContext(r, f, s, "success", i.clone())
		c["identity"] = withoutChange(i)
		inFlow := c["flow"].(map[string]any)
		inFlow["identity"] = old.forPeople()
		if o.config.Generation == V26 {
			delete(inFlow, "transient_payload")
			c["session"] = signedIn
		}
		return c
	}
	if failure := o.before(r.Context(), o.config.Hooks.Settings, &i, hookCtx); failure != nil {
		return o.hookRefused(f, failure, "")
	}
	o.between(i.ID)
	o.touch(&i)
	if o.data.update(&i) != nil {
		return o.taken(f)
	}
	if failure := o.after(r.Context(), o.config.Hooks.Settings, hookCtx); failure != nil {
		return o.hookRefused(f, failure, "")
	}
	done := o.show(f, "success", nil, "")
	done["identity"] = withoutChange(i)
	return good(http.StatusOK, done)
}

// withoutChange shows an empty state_changed_at as null. Ory shows null until the
// identity is read again; then it leaves the key out.
func withoutChange(i identity) any {
	if i.StateChangedAt != nil {
		return i.forPeople()
	}
	return struct {
		identity
		StateChangedAt *time.Time `json:"state_changed_at"`
	}{identity: i.forPeople()}
}

func (o *Ory) logout(r *http.Request) answer {
	var form struct {
		Token string `json:"session_token"`
	}
	if err := json.Unmarshal(bodyOf(r), &form); err != nil {
		return failed(http.StatusBadRequest, errorBody{Message: err.Error()})
	}
	o.data.mu.Lock()
	defer o.data.mu.Unlock()
	if s := o.data.sessions[o.data.tokens[form.Token]]; s != nil {
		s.Active = false
	}
	return noContent()
}
