package symbolontest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
)

// Person is a person who signed up or signed in at a [Kratos], with Kratos' answer.
type Person struct {
	IdentityID string
	Email      string
	Password   string

	// Token is the session token, and SessionID is the ID of its session. Both are empty
	// after a registration without a `session` hook.
	Token     string
	SessionID string

	Status int             // HTTP status of Kratos' answer
	Body   json.RawMessage // body of Kratos' answer
}

// Register signs a person up as a native application does: one new flow and one submit. A
// refusal is a *[KratosError].
func (k *Kratos) Register(ctx context.Context, email, password, name string) (*Person, error) {
	flow, err := k.RegisterFlow(ctx)
	if err != nil {
		return nil, err
	}
	return k.Submit(ctx, flow, email, password, name)
}

func jsonnetWasLate(err error) bool {
	var refused *KratosError
	return errors.As(err, &refused) && bytes.Contains(refused.Body, []byte("jsonnetsecure: eval: context deadline exceeded"))
}

// RegisterFlow creates a registration flow and returns its ID.
func (k *Kratos) RegisterFlow(ctx context.Context) (flowID string, err error) {
	flowID, err = k.flow(ctx, "registration")
	if err != nil {
		return "", fmt.Errorf("begin to register: %w", err)
	}
	return flowID, nil
}

// Submit submits a registration flow. Kratos accepts several submits of one flow, also at
// the same time, and each of them may create an identity.
//
// Kratos allows one second for the Jsonnet of a hook's body. On a busy machine that can
// be too short, and Kratos then refuses the form. Submit tries again in this case, as a
// person would.
func (k *Kratos) Submit(ctx context.Context, flowID, email, password, name string) (*Person, error) {
	var person *Person
	var err error
	for try := 1; try == 1 || try <= 10 && jsonnetWasLate(err); try++ {
		person, err = k.submit(ctx, "registration", flowID, map[string]any{
			"method": "password", "password": password,
			"traits": map[string]any{"email": email, "name": name},
		})
	}
	if err != nil {
		return nil, fmt.Errorf("register %s: %w", email, err)
	}
	person.Email, person.Password = email, password
	return person, nil
}

// Login signs a person in and creates a new session. A refusal is a *[KratosError].
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

// LoginBrowser signs a person in as a browser does and returns the session cookie.
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
	answer, err := k.do(ctx, http.MethodGet, k.PublicURL+"/self-service/login/browser", nil, nil)
	if err = answer.expect(err, http.StatusOK, &flow); err != nil {
		return nil, fmt.Errorf("begin to log in: %w", err)
	}
	form := map[string]any{"method": "password", "password": password, "identifier": email}
	for _, node := range flow.UI.Nodes {
		if node.Attributes.Name == "csrf_token" {
			form["csrf_token"] = node.Attributes.Value
		}
	}
	header := http.Header{}
	for _, cookie := range answer.cookies() {
		header.Add("Cookie", cookie.Name+"="+cookie.Value)
	}
	answer, err = k.do(ctx, http.MethodPost, flow.UI.Action, form, header)
	if err = answer.expect(err, http.StatusOK, nil); err != nil {
		return nil, fmt.Errorf("log in %s: %w", email, err)
	}
	for _, cookie := range answer.cookies() {
		if cookie.Name == "ory_kratos_session" {
			return cookie, nil
		}
	}
	return nil, fmt.Errorf("log in %s: Ory Kratos set no session cookie", email)
}

// Logout revokes the session of a token.
func (k *Kratos) Logout(ctx context.Context, token string) error {
	answer, err := k.do(ctx, http.MethodDelete, k.PublicURL+"/self-service/logout/api",
		map[string]any{"session_token": token}, nil)
	if err = answer.expect(err, http.StatusNoContent, nil); err != nil {
		return fmt.Errorf("log out: %w", err)
	}
	return nil
}

// Whoami returns Kratos' answer for a session token, with any status. err is set if there
// was no answer.
func (k *Kratos) Whoami(ctx context.Context, token string) (json.RawMessage, int, error) {
	answer, err := k.do(ctx, http.MethodGet, k.PublicURL+"/sessions/whoami", nil,
		http.Header{"X-Session-Token": {token}})
	return answer.body, answer.status, err
}

func (k *Kratos) flow(ctx context.Context, kind string) (id string, err error) {
	var flow struct{ ID string }
	answer, err := k.do(ctx, http.MethodGet, k.PublicURL+"/self-service/"+kind+"/api", nil, nil)
	err = answer.expect(err, http.StatusOK, &flow)
	return flow.ID, err
}

func (k *Kratos) submit(ctx context.Context, kind, flowID string, form map[string]any) (*Person, error) {
	var signedIn struct {
		SessionToken string `json:"session_token"`
		Session      struct {
			ID       string
			Identity struct{ ID string }
		}
		Identity struct{ ID string }
	}
	answer, err := k.do(ctx, http.MethodPost,
		k.PublicURL+"/self-service/"+kind+"?flow="+url.QueryEscape(flowID), form, nil)
	if err = answer.expect(err, http.StatusOK, &signedIn); err != nil {
		return nil, err
	}
	person := &Person{
		IdentityID: signedIn.Identity.ID, Token: signedIn.SessionToken, SessionID: signedIn.Session.ID,
		Status: answer.status, Body: answer.body,
	}
	if person.IdentityID == "" {
		person.IdentityID = signedIn.Session.Identity.ID
	}
	return person, nil
}

// CreateIdentity creates an identity by the admin API. body is the JSON of the request,
// for example
//
//	map[string]any{"schema_id": "default", "traits": map[string]any{"email": "ada@example.com"}}
func (k *Kratos) CreateIdentity(ctx context.Context, body any) (id string, err error) {
	var identity struct{ ID string }
	answer, err := k.do(ctx, http.MethodPost, k.AdminURL+"/admin/identities", body, nil)
	if err = answer.expect(err, http.StatusCreated, &identity); err != nil {
		return "", fmt.Errorf("create identity: %w", err)
	}
	return identity.ID, nil
}

// identitiesAtOnce is the number of identities in one request, half of Kratos' limit.
const identitiesAtOnce = 500

// CreateIdentities creates many identities by the admin API, up to 500 in one request. It
// returns their IDs in the order of bodies. Each body is as in [Kratos.CreateIdentity].
func (k *Kratos) CreateIdentities(ctx context.Context, bodies []map[string]any) (ids []string, err error) {
	for chunk := range slices.Chunk(bodies, identitiesAtOnce) {
		var creates []map[string]any
		for _, body := range chunk {
			creates = append(creates, map[string]any{"create": body})
		}
		var made struct {
			Identities []struct{ Action, Identity string }
		}
		answer, err := k.do(ctx, http.MethodPatch, k.AdminURL+"/admin/identities", map[string]any{"identities": creates}, nil)
		if err = answer.expect(err, http.StatusOK, &made); err != nil {
			return nil, fmt.Errorf("create identities: %w", err)
		}
		for _, identity := range made.Identities {
			if identity.Action != "create" || identity.Identity == "" {
				return nil, fmt.Errorf("create identities: one was not made: %.2000s", answer.body)
			}
			ids = append(ids, identity.Identity)
		}
	}
	if len(ids) != len(bodies) {
		return nil, fmt.Errorf("create identities: %d of %d were made", len(ids), len(bodies))
	}
	return ids, nil
}

// GetIdentity returns the admin API's answer for an identity, with any status. err is set
// if there was no answer.
func (k *Kratos) GetIdentity(ctx context.Context, id string) (json.RawMessage, int, error) {
	answer, err := k.do(ctx, http.MethodGet, k.identityURL(id), nil, nil)
	return answer.body, answer.status, err
}

// PatchIdentity applies JSON Patch operations, for example
//
//	[]map[string]any{{"op": "add", "path": "/metadata_public/id", "value": "42"}}
func (k *Kratos) PatchIdentity(ctx context.Context, id string, ops any) error {
	answer, err := k.do(ctx, http.MethodPatch, k.identityURL(id), ops, nil)
	if err = answer.expect(err, http.StatusOK, nil); err != nil {
		return fmt.Errorf("patch identity %s: %w", id, err)
	}
	return nil
}

// DeleteIdentity deletes an identity and its sessions.
func (k *Kratos) DeleteIdentity(ctx context.Context, id string) error {
	answer, err := k.do(ctx, http.MethodDelete, k.identityURL(id), nil, nil)
	if err = answer.expect(err, http.StatusNoContent, nil); err != nil {
		return fmt.Errorf("delete identity %s: %w", id, err)
	}
	return nil
}

// CountIdentities returns the number of identities. It reads all pages.
func (k *Kratos) CountIdentities(ctx context.Context) (int, error) {
	count, next := 0, "/admin/identities?page_size=500"
	for next != "" {
		var page []json.RawMessage
		answer, err := k.do(ctx, http.MethodGet, k.AdminURL+next, nil, nil)
		if err = answer.expect(err, http.StatusOK, &page); err != nil {
			return 0, fmt.Errorf("count identities: %w", err)
		}
		count += len(page)
		if next, err = nextPage(answer.header); err != nil {
			return 0, fmt.Errorf("count identities: %w", err)
		}
	}
	return count, nil
}

var linkNext = regexp.MustCompile(`<([^>]*)>;\s*rel="next"`)

// nextPage returns the path and query of the next page as one string, or "" on the
// last page.
func nextPage(header http.Header) (string, error) {
	for _, line := range header.Values("Link") {
		if match := linkNext.FindStringSubmatch(line); match != nil {
			u, err := url.Parse(match[1])
			if err != nil {
				return "", err
			}
			if u.RawQuery == "" {
				return "", errors.New("the link to the next page has no query")
			}
			return u.RequestURI(), nil
		}
	}
	return "", nil
}

func (k *Kratos) identityURL(id string) string {
	return k.AdminURL + "/admin/identities/" + url.PathEscape(id)
}
