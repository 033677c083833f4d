package session

import (
	"net/http"
	"strings"

	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session/jwt"
)

const (
	maxCookie   = 8 << 10 // of the session cookie's value
	maxToken    = 4 << 10
	tokenPrefix = "ory_st_"
)

// credentialOf finds the one credential of a request, in the order in which Kratos
// itself looks: the header X-Session-Token, then nothing else; the session cookie,
// then nothing else; a Bearer token that is Ory's, or has the shape of a tokenised
// session, which counts only where [Verifier.Tokens] is set. An application's own
// Bearer tokens are none of ours and never leave for Ory.
//
// A credential that stands there twice with two values is none, because a client could
// choose which one counts. An empty X-Session-Token is absent, as it is to
// Kratos. The shape of the value is not looked at here: see wellFormed.
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

// only returns the value if all of them are equal.
func only(values []string) (string, bool) {
	for _, v := range values[1:] {
		if v != values[0] {
			return "", false
		}
	}
	return values[0], true
}

// cookieValue finds a cookie by its exact name. It is not ok when it stands there
// with two values: browsers send those of a parent domain as well.
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

// wellFormed reports whether a credential looks as Ory's do. Any other is refused without
// asking Ory: it cannot be good, and asking costs.
func wellFormed(c ory.Credential) bool {
	switch c.Kind {
	case ory.SessionToken: // old and hand-made ones lack the prefix
		return within(c.Value, maxToken, '!', '~')
	case ory.BearerToken:
		return strings.HasPrefix(c.Value, tokenPrefix) && len(c.Value) > len(tokenPrefix) && within(c.Value, maxToken, '!', '~')
	case ory.SessionCookie:
		return len(c.Value) <= maxCookie && isBase64URL(c.Value)
	}
	return false
}

func within(s string, limit int, lo, hi byte) bool {
	for i := range len(s) {
		if s[i] < lo || s[i] > hi {
			return false
		}
	}
	return s != "" && len(s) <= limit
}

// isBase64URL reports whether s is what securecookie makes: base64 for URLs, with
// its padding.
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
