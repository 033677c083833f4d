package session

import (
	"net/http"
	"strings"

	"github.com/symbolon-id/symbolon/internal/ascii"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session/jwt"
)

const (
	maxCookie   = 8 << 10 // of the session cookie's value
	maxToken    = 4 << 10
	tokenPrefix = "ory_st_"
)

// credentialOf finds the one credential of a request. Like Kratos, it uses the first of
// these that is in the request and ignores the rest: the header X-Session-Token, the
// session cookie, a Bearer token that Ory made. A Bearer token with the form of a tokenised
// session is used only if [Verifier.Tokens] is set. An application's own Bearer tokens are
// never sent to Ory.
//
// A credential with two values is refused, because a client could otherwise choose which
// value is used. An empty X-Session-Token is ignored, as Kratos does. wellFormed checks the
// form of the value later.
func credentialOf(h http.Header, cookie string) (ory.Credential, error) {
	if values := h["X-Session-Token"]; len(values) > 0 {
		value, ok := only(values)
		if !ok {
			return ory.Credential{}, ErrUnauthenticated
		}
		if value != "" {
			return ory.Credential{Kind: ory.SessionToken, Value: value}, nil
		}
	}
	if value, found, ok := cookieValue(h["Cookie"], cookie); found {
		if !ok {
			return ory.Credential{}, ErrUnauthenticated
		}
		return ory.Credential{Kind: ory.SessionCookie, Value: value}, nil
	}
	if kind, value, ok := bearerToken(h["Authorization"]); ok {
		return ory.Credential{Kind: kind, Value: value}, nil
	}
	return ory.Credential{}, ErrUnauthenticated
}

// only(values) is the one value of the list. ok is false if two values differ.
func only(values []string) (value string, ok bool) {
	for _, v := range values[1:] {
		if v != values[0] {
			return "", false
		}
	}
	return values[0], true
}

// cookieValue finds a cookie by its exact name. ok is false if the cookie is there with two
// different values. This happens because browsers also send the cookie of a parent domain.
func cookieValue(lines []string, name string) (value string, found, ok bool) {
	for _, line := range lines {
		for line != "" {
			var part string
			part, line, _ = strings.Cut(line, ";")
			k, v, isPair := strings.Cut(strings.Trim(part, " \t"), "=")
			if !isPair || k != name {
				continue
			}
			if found && v != value {
				return "", true, false
			}
			value, found = v, true
		}
	}
	return value, found, found
}

func bearerToken(values []string) (kind ory.Kind, token string, ok bool) {
	if len(values) == 0 {
		return "", "", false
	}
	value, ok := only(values)
	if !ok {
		return "", "", false
	}
	scheme, token, ok := strings.Cut(value, " ")
	switch {
	case !ok || !strings.EqualFold(scheme, "Bearer"):
		return "", "", false
	case strings.HasPrefix(token, tokenPrefix):
		return ory.BearerToken, token, true
	case jwt.IsShaped(token):
		return TokenisedSession, token, true
	}
	return "", "", false
}

// wellFormed reports whether a credential has the form that Ory gives it. Other credentials
// cannot be valid, so they are refused without the cost of a question to Ory.
func wellFormed(c ory.Credential) bool {
	switch c.Kind {
	case ory.SessionToken: // old tokens, and tokens made by hand, lack the prefix
		return c.Value != "" && len(c.Value) <= maxToken && ascii.Visible(c.Value)
	case ory.BearerToken:
		return strings.HasPrefix(c.Value, tokenPrefix) && c.Value != tokenPrefix && len(c.Value) <= maxToken && ascii.Visible(c.Value)
	case ory.SessionCookie:
		return len(c.Value) <= maxCookie && isBase64URL(c.Value)
	}
	return false
}

// isBase64URL reports whether s is padded base64url, as securecookie makes it.
func isBase64URL(s string) bool {
	body := strings.TrimRight(s, "=")
	for i := range len(body) {
		c := body[i]
		if c-'a' > 25 && c-'A' > 25 && c-'0' > 9 && c != '-' && c != '_' {
			return false
		}
	}
	return body != "" && len(s)-len(body) <= 2 && len(s)%4 == 0
}
