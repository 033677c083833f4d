package symbolontest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// Person is somebody who signed up or in at a [Kratos], and the answer that
// they got.
type Person struct {
	IdentityID string
	Email      string
	Password   string

	// Token is the session token; empty after a registration without a
	// `session` hook. SessionID is its session's ID.
	Token     string
	SessionID string

	Status int             // HTTP status of Kratos' answer
	Body   json.RawMessage // the answer itself
}

// KratosError is an answer of Kratos that is not the one asked for: a refused
// form, an identity that is not there.
type KratosError struct {
	Status int
	Body   []byte
}

// Error shows the status and the start of the body.
func (e *KratosError) Error() string {
	return fmt.Sprintf("Ory Kratos answered %d: %.2000s", e.Status, e.Body)
}

// Register signs somebody up as a native application does: a flow of its own,
// one submit. A refusal is a *[KratosError].
func (k *Kratos) Register(ctx context.Context, email, password, name string) (*Person, error) {
	flow, err := k.RegisterFlow(ctx)
	if err != nil {
		return nil, err
	}
	return k.Submit(ctx, flow, email, password, name)
}

// RegisterFlow begins a registration and returns the flow's ID.
func (k *Kratos) RegisterFlow(ctx context.Context) (flowID string, err error) {
	flowID, err = k.flow(ctx, "registration")
	if err != nil {
		return "", fmt.Errorf("begin to register: %w", err)
	}
	return flowID, nil
}

// Submit submits a registration flow. Kratos allows any number of submits of
// one flow, also at once, and each may make an identity.
func (k *Kratos) Submit(ctx context.Context, flowID, email, password, name string) (*Person, error) {
	person, err := k.submit(ctx, "registration", flowID, map[string]any{
		"method": "password", "password": password,
		"traits": map[string]any{"email": email, "name": name},
	})
	if err != nil {
		return nil, fmt.Errorf("register %s: %w", email, err)
	}
	person.Email, person.Password = email, password
	return person, nil
}

// Login signs somebody in with a new session. A refusal is a *[KratosError].
func (k *Kratos) Login(ctx context.Context, email, password string) (*Person, error) {
	flow, err := k.flow(ctx, "login")
	if err != nil {
		return nil, fmt.Errorf("begin to log in: %w", err)
	}
	person, err := k.submit(ctx, "login", flow, map[string]any{
		"method": "password", "password": password, "identifier": email,
	})
	if err != nil {
		return nil, fmt.Errorf("log in %s: %w", email, err)
	}
	person.Email, person.Password = email, password
	return person, nil
}

// LoginBrowser signs somebody in as a browser does and returns the session
// cookie.
func (k *Kratos) LoginBrowser(ctx context.Context, email, password string) (*http.Cookie, error) {
	var flow struct {
		UI struct {
			Action string
			Nodes  []struct {
				Attributes struct {
					Name  string
					Value any
				}
			}
		}
	}
	response, body, err := k.do(ctx, http.MethodGet, k.PublicURL+"/self-service/login/browser", nil, nil)
	if err = expect(response, body, err, http.StatusOK, &flow); err != nil {
		return nil, fmt.Errorf("begin to log in: %w", err)
	}
	form := map[string]any{"method": "password", "password": password, "identifier": email}
	for _, node := range flow.UI.Nodes {
		if node.Attributes.Name == "csrf_token" {
			form["csrf_token"] = node.Attributes.Value
		}
	}
	header := http.Header{}
	for _, cookie := range response.Cookies() {
		header.Add("Cookie", cookie.Name+"="+cookie.Value)
	}
	response, body, err = k.do(ctx, http.MethodPost, flow.UI.Action, form, header)
	if err = expect(response, body, err, http.StatusOK, nil); err != nil {
		return nil, fmt.Errorf("log in %s: %w", email, err)
	}
	for _, cookie := range response.Cookies() {
		if cookie.Name == "ory_kratos_session" {
			return cookie, nil
		}
	}
	return nil, fmt.Errorf("log in %s: Ory Kratos set no session cookie", email)
}

// Logout ends the session of a token.
func (k *Kratos) Logout(ctx context.Context, token string) error {
	response, body, err := k.do(ctx, http.MethodDelete, k.PublicURL+"/self-service/logout/api",
		map[string]any{"session_token": token}, nil)
	if err = expect(response, body, err, http.StatusNoContent, nil); err != nil {
		return fmt.Errorf("log out: %w", err)
	}
	return nil
}

// Whoami returns Kratos' answer to a session token, whatever its status; err
// says that there was none.
func (k *Kratos) Whoami(ctx context.Context, token string) (json.RawMessage, int, error) {
	status, body, err := k.call(ctx, http.MethodGet, k.PublicURL+"/sessions/whoami", nil,
		http.Header{"X-Session-Token": {token}})
	return body, status, err
}

func (k *Kratos) flow(ctx context.Context, kind string) (id string, err error) {
	var flow struct{ ID string }
	response, body, err := k.do(ctx, http.MethodGet, k.PublicURL+"/self-service/"+kind+"/api", nil, nil)
	err = expect(response, body, err, http.StatusOK, &flow)
	return flow.ID, err
}

func (k *Kratos) submit(ctx context.Context, kind, flowID string, form map[string]any) (*Person, error) {
	var answer struct {
		SessionToken string `json:"session_token"`
		Session      struct {
			ID       string
			Identity struct{ ID string }
		}
		Identity struct{ ID string }
	}
	response, body, err := k.do(ctx, http.MethodPost,
		k.PublicURL+"/self-service/"+kind+"?flow="+url.QueryEscape(flowID), form, nil)
	if err = expect(response, body, err, http.StatusOK, &answer); err != nil {
		return nil, err
	}
	person := &Person{
		IdentityID: answer.Identity.ID, Token: answer.SessionToken, SessionID: answer.Session.ID,
		Status: response.StatusCode, Body: body,
	}
	if person.IdentityID == "" {
		person.IdentityID = answer.Session.Identity.ID
	}
	return person, nil
}

// expect turns an answer with another status than want into a *KratosError and
// decodes the right one into out, unless that is nil.
func expect(response *http.Response, body []byte, err error, want int, out any) error {
	if err != nil {
		return err
	}
	if response.StatusCode != want {
		return &KratosError{Status: response.StatusCode, Body: body}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("read Ory Kratos' answer: %w", err)
	}
	return nil
}

// call is do for those who only want to know the status.
func (k *Kratos) call(ctx context.Context, method, url string, in any, header http.Header) (int, []byte, error) {
	response, body, err := k.do(ctx, method, url, in, header)
	if err != nil {
		return 0, nil, err
	}
	return response.StatusCode, body, nil
}

// do sends in as JSON, unless it is nil, and reads the whole answer.
func (k *Kratos) do(ctx context.Context, method, url string, in any, header http.Header) (*http.Response, []byte, error) {
	var content io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, nil, err
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, url, content)
	if err != nil {
		return nil, nil, err
	}
	for name, values := range header {
		request.Header[name] = values
	}
	request.Header.Set("Accept", "application/json")
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := k.client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<20))
	if err != nil {
		return nil, nil, fmt.Errorf("%s %s: %w", method, url, err)
	}
	return response, body, nil
}
