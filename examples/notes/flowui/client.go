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

// What Client.Flow returns when the answer is not a page but another way to go. Test with errors.Is.
var (
	// ErrRestart: the flow is expired, used, unknown or another browser's. Send the browser to Client.Start.
	ErrRestart = errors.New("this flow is over, start a new one")
	// ErrSecondFactor: Ory wants the second factor first. Send the browser to Client.Start(Login) with aal=aal2.
	ErrSecondFactor = errors.New("the second factor is needed first")
	// ErrNoCookie: the browser came back from Ory without Ory's CSRF cookie, so starting again would go round in circles.
	// Cookies are blocked, or Ory and the application do not share a domain (Ory's cookies.domain).
	ErrNoCookie = errors.New("the cookie of Ory did not come with the request")
	// ErrUnavailable: Ory did not answer, or not with sense. Nothing is known about the flow.
	ErrUnavailable = errors.New("cannot reach Ory")
)

// Client reads flows from Ory for the browser that asks. The zero value with PublicURL set is ready to use.
type Client struct {
	PublicURL     string       // Ory's public URL, the same for this server and for browsers
	SessionCookie string       // default ory_kratos_session (Ory Network: ory_session_<project>)
	HTTP          *http.Client // default: 5 s for everything; redirects are never followed
}

// Start is where a browser goes to begin a flow. Useful query keys: return_to, aal, refresh.
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

// Ready asks Ory whether it can be reached, before a browser is sent there to find out. ErrUnavailable: it cannot, or says so itself.
func (c *Client) Ready(r *http.Request) error {
	status, _, err := c.get(r, "/health/ready", nil)
	if err == nil && status >= http.StatusInternalServerError {
		err = fmt.Errorf("%w: it said %d when asked whether it is ready", ErrUnavailable, status)
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
		return nil, fmt.Errorf("%w (Ory said %d)", ErrRestart, status)
	}
	return nil, fmt.Errorf("%w: it said %d", ErrUnavailable, status)
}

// LogoutURL is where a browser goes to end its session at Ory. The URL holds a secret of that session: redirect to it at once,
// never put it into a page. ErrRestart: there is no session to end.
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
		return "", fmt.Errorf("%w: it said %d to a logout", ErrUnavailable, status)
	}
	return answer.URL, nil
}

// Problem is an error that Ory kept for its error page (/error?id=…).
type Problem struct {
	ID      string `json:"id"` // such as security_csrf_violation; may be empty
	Code    int    `json:"code"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// Problem reads the error with this ID. ErrRestart: Ory knows none such.
func (c *Client) Problem(r *http.Request, id string) (*Problem, error) {
	status, body, err := c.get(r, "/self-service/errors", url.Values{"id": {id}})
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("%w (Ory said %d)", ErrRestart, status)
	}
	return readError(body), nil
}

// readError reads Ory's error shape. A body of another shape gives an empty problem.
func readError(body []byte) *Problem {
	var answer struct {
		Error Problem `json:"error"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return &Problem{}
	}
	return &answer.Error
}

// maxBody bounds an answer of Ory's: a settings page with its QR code is about 10 kB.
const maxBody = 1 << 20

// get asks Ory on behalf of the browser. Of the browser's request only Ory's own cookies go on.
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

// isCSRF: Kratos names it csrf_token_<hash>, with __Host- before it in some setups.
func isCSRF(cookie *http.Cookie) bool {
	return strings.HasPrefix(strings.TrimPrefix(cookie.Name, "__Host-"), "csrf_token_")
}
