package flowui

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Errors of Client.Flow that tell the caller to do something else than show a page. Test with errors.Is.
var (
	// ErrRestart: the flow is expired, used, unknown or of another browser. Send the browser to Client.Start.
	ErrRestart = errors.New("this flow is over, start a new one")
	// ErrSecondFactor: Ory needs the second factor first. Send the browser to Client.Start(Login) with aal=aal2.
	ErrSecondFactor = errors.New("the second factor is needed first")
	// ErrNoCookie: the browser came back from Ory without Ory's CSRF cookie, so a new flow would fail in the same way. Cookies are
	// blocked, or Ory and the application do not share a domain (Ory's cookies.domain).
	ErrNoCookie = errors.New("the cookie of Ory did not come with the request")
	// ErrUnavailable: Ory did not answer, or its answer was not valid. Nothing is known about the flow.
	ErrUnavailable = errors.New("cannot reach Ory")
)

// Client reads flows from Ory for the browser that asks. The zero value with PublicURL set is ready to use.
type Client struct {
	PublicURL     string       // Ory's public URL, the same for this server and for browsers
	SessionCookie string       // default ory_kratos_session (Ory Network: ory_session_<project>)
	HTTP          *http.Client // default: a timeout of 5 s; redirects are never followed
}

// Start returns the URL at which a browser begins a flow. Useful query keys: return_to, aal, refresh.
func (c *Client) Start(kind Kind, query url.Values) string {
	return c.url("/self-service/"+string(kind)+"/browser", query)
}

func (c *Client) url(path string, query url.Values) string {
	u := strings.TrimRight(c.PublicURL, "/") + path
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	return u
}

// Ready checks that Ory answers, before a browser is sent there. It returns ErrUnavailable if Ory does not answer or is not ready.
func (c *Client) Ready(r *http.Request) error {
	status, _, err := c.get(r, "/health/ready", nil)
	if err == nil && status >= http.StatusInternalServerError {
		err = fmt.Errorf("%w: it answered %d when asked whether it is ready", ErrUnavailable, status)
	}
	return err
}

// Flow reads one flow on behalf of the browser behind r.
func (c *Client) Flow(r *http.Request, kind Kind, id string) (*Flow, error) {
	if !slices.ContainsFunc(r.Cookies(), isCSRF) {
		return nil, ErrNoCookie
	}
	status, body, err := c.get(r, "/self-service/"+string(kind)+"/flows", url.Values{"id": {id}})
	if err != nil {
		return nil, err
	}
	switch status {
	case http.StatusOK:
		f, err := Parse(kind, body)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return f, nil
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone, http.StatusUnprocessableEntity:
		if readError(body).ID == "session_aal2_required" {
			return nil, ErrSecondFactor
		}
		return nil, fmt.Errorf("%w (Ory answered %d)", ErrRestart, status)
	}
	return nil, fmt.Errorf("%w: it answered %d", ErrUnavailable, status)
}

// LogoutURL returns the URL at which a browser ends its session at Ory. The URL contains a secret of this session, so redirect to it at
// once and never put it into a page. ErrRestart: there is no session.
func (c *Client) LogoutURL(r *http.Request) (string, error) {
	status, body, err := c.get(r, "/self-service/logout/browser", nil)
	if err != nil {
		return "", err
	}
	if status == http.StatusUnauthorized {
		return "", ErrRestart
	}
	var answer struct {
		URL string `json:"logout_url"`
	}
	if status != http.StatusOK || json.Unmarshal(body, &answer) != nil || answer.URL == "" {
		return "", fmt.Errorf("%w: it answered %d to a logout", ErrUnavailable, status)
	}
	return answer.URL, nil
}

// Problem is an error that Ory stored for its error page (/error?id=…).
type Problem struct {
	ID      string `json:"id"` // such as security_csrf_violation; may be empty
	Code    int    `json:"code"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// Problem reads the error with this ID. ErrRestart: Ory does not know the ID.
func (c *Client) Problem(r *http.Request, id string) (*Problem, error) {
	status, body, err := c.get(r, "/self-service/errors", url.Values{"id": {id}})
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("%w (Ory answered %d)", ErrRestart, status)
	}
	return readError(body), nil
}

// readError decodes Ory's error form. Another body gives an empty problem.
func readError(body []byte) *Problem {
	var answer struct {
		Error Problem `json:"error"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return &Problem{}
	}
	return &answer.Error
}

// maxBody limits an answer of Ory. A settings page with its QR code is about 10 kB.
const maxBody = 1 << 20

// get sends a request to Ory for the browser. It forwards only Ory's own cookies.
func (c *Client) get(r *http.Request, path string, query url.Values) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, c.url(path, query), nil)
	if err != nil {
		return 0, nil, fmt.Errorf("ask Ory: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	for _, cookie := range r.Cookies() {
		if c.isSession(cookie) || isCSRF(cookie) {
			req.AddCookie(cookie)
		}
	}
	res, err := c.client().Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if len(body) > maxBody {
		return 0, nil, fmt.Errorf("%w: its answer is longer than %d bytes", ErrUnavailable, maxBody)
	}
	return res.StatusCode, body, nil
}

var defaultHTTP = &http.Client{Timeout: 5 * time.Second, CheckRedirect: noRedirects}

func noRedirects(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (c *Client) client() *http.Client {
	if c.HTTP == nil {
		return defaultHTTP
	}
	h := *c.HTTP
	h.CheckRedirect = noRedirects
	return &h
}

func (c *Client) isSession(cookie *http.Cookie) bool {
	if c.SessionCookie == "" {
		return cookie.Name == "ory_kratos_session"
	}
	return cookie.Name == c.SessionCookie
}

// isCSRF: Kratos names the cookie csrf_token_<hash>, in some setups with __Host- before it.
func isCSRF(cookie *http.Cookie) bool {
	return strings.HasPrefix(strings.TrimPrefix(cookie.Name, "__Host-"), "csrf_token_")
}
