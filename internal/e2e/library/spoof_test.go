package library

import (
	"fmt"
	"strings"
)

// attempt is one request of a client who tries to be another user.
type attempt struct {
	name    string
	target  string // default /
	version string // default HTTP/1.1
	headers string // raw lines
	body    string // raw, after the empty line
	method  string // default GET
}

func (a attempt) request(credential string) string {
	or := func(s, otherwise string) string {
		if s == "" {
			return otherwise
		}
		return s
	}
	closing := "Connection: close\r\n"
	if strings.Contains(strings.ToLower(a.headers), "\nconnection:") || strings.HasPrefix(strings.ToLower(a.headers), "connection:") {
		closing = ""
	}
	return fmt.Sprintf("%s %s %s\r\nHost: app.example\r\n%s%s%s\r\n%s", or(a.method, "GET"), or(a.target, "/"), or(a.version, "HTTP/1.1"),
		closing, credential, a.headers, a.body)
}

// spoofedHeaders returns more than 60 ways to send an identity header.
func spoofedHeaders() (out []attempt) {
	add := func(name, headers string) { out = append(out, attempt{name: name, headers: headers}) }
	for _, h := range identityHeaders {
		add(h, h+": evil\r\n")
		add(h+" lower", strings.ToLower(h)+": evil\r\n")
		add(h+" upper", strings.ToUpper(h)+": evil\r\n")
		add(h+" underscores", strings.ReplaceAll(h, "-", "_")+": evil\r\n")
		add(h+" one underscore", strings.Replace(h, "-", "_", 1)+": evil\r\n")
		add(h+" other underscore", strings.Replace(strings.ToUpper(h), "-", "_", 2)[:len(h)]+": evil\r\n")
		add(h+" listed in Connection", h+": evil\r\nConnection: close, "+h+"\r\n")
	}
	last := "X-User_Id"
	for name, headers := range map[string]string{
		"last underscore":          last + ": evil\r\n",
		"twice":                    "X-User-Id: evil\r\nX-User-Id: evil2\r\n",
		"twice, two spellings":     "X-User-Id: evil\r\nx_user_id: evil2\r\n",
		"a hundred times":          strings.Repeat("X-User-Id: evil\r\n", 100),
		"empty":                    "X-User-Id:\r\n",
		"empty, then not":          "X-User-Id:\r\nX-User-Id: evil\r\n",
		"list":                     "X-User-Id: evil, evil2\r\n",
		"space before the colon":   "X-User-Id : evil\r\n",
		"tab before the colon":     "X-User-Id\t: evil\r\n",
		"space before the name":    "X-Harmless: a\r\n X-User-Id: evil\r\n",
		"folded":                   "X-User-Id:\r\n evil\r\n",
		"no space":                 "X-User-Id:evil\r\n",
		"tab":                      "X-User-Id:\tevil\r\n",
		"NUL in the name":          "X-User-Id\x00: evil\r\n",
		"NUL in the value":         "X-User-Id: e\x00evil\r\n",
		"line feed alone":          "X-Harmless: a\nX-User-Id: evil\r\n",
		"carriage return alone":    "X-Harmless: a\rX-User-Id: evil\r\n",
		"vertical tab":             "\x0bX-User-Id: evil\r\n",
		"dots":                     "X.User.Id: evil\r\n",
		"a dot and an underscore":  "X.User_Id: evil\r\n",
		"Latin-1 dash":             "X\xadUser\xadId: evil\r\n",
		"UTF-8 dash":               "X\u2010User\u2010Id: evil\r\n",
		"Connection lists all":     "Connection: close, X-User-Id, X-Identity-Id, X-Session-Id, X-Auth-Aal, X-Auth-Email, X-Auth-Assertion\r\n",
		"Connection lists, lower":  "Connection: close,x-user-id\r\n",
		"Connection twice":         "Connection: close\r\nConnection: X-User-Id\r\nX-User-Id: evil\r\n",
		"Proxy-Connection lists":   "Proxy-Connection: X-User-Id\r\nX-User-Id: evil\r\n",
		"Keep-Alive":               "Connection: keep-alive, X-User-Id\r\nKeep-Alive: timeout=1\r\nX-User-Id: evil\r\n",
		"Upgrade":                  "Connection: Upgrade, X-User-Id\r\nUpgrade: websocket\r\nX-User-Id: evil\r\n",
		"Trailer header alone":     "Trailer: X-User-Id\r\n",
		"X-Forwarded-User too":     "X-User-Id: evil\r\nX-Forwarded-For: 127.0.0.1\r\n",
		"a session ID, not a user": "X-Session-Id: evil\r\nX-User-Id: evil\r\n",
	} {
		add(name, headers)
	}
	for _, c := range "!#$%&'*+^`|~" { // every other byte that a name may have
		add("with "+string(c), strings.ReplaceAll("X-User-Id", "-", string(c))+": evil\r\n")
	}
	chunked := "Transfer-Encoding: chunked\r\n"
	for name, a := range map[string]attempt{
		"trailer, announced":      {headers: chunked + "Trailer: X-User-Id\r\n", body: "1\r\na\r\n0\r\nX-User-Id: evil\r\n\r\n"},
		"trailer, silent":         {headers: chunked, body: "1\r\na\r\n0\r\nX-User-Id: evil\r\n\r\n"},
		"trailer, underscores":    {headers: chunked + "Trailer: x_user_id\r\n", body: "1\r\na\r\n0\r\nx_user_id: evil\r\n\r\n"},
		"trailer and header":      {headers: chunked + "TE: trailers\r\nTrailer: X-User-Id\r\nX-User-Id: evil\r\n", body: "0\r\nX-User-Id: evil\r\n\r\n"},
		"HTTP/1.0":                {version: "HTTP/1.0", headers: "X-User-Id: evil\r\n"},
		"in the body":             {headers: "Content-Length: 18\r\nExpect: 100-continue\r\n", body: "X-User-Id: evil\r\n\r\n"},
		"both lengths, smuggling": {headers: chunked + "Content-Length: 5\r\nX-User-Id: evil\r\n", body: "0\r\n\r\n"},
	} {
		a.name, a.method = name, "POST"
		out = append(out, a)
	}
	return out
}

// spoofedTargets returns more than 60 ways to ask for another policy than the proxy's.
func spoofedTargets() (out []attempt) {
	for _, target := range []string{
		"/?optional=1", "/?policy=optional", "/?uri=/auth/optional", "/?/auth/optional", "/?x=/../auth/optional", "/?aal=aal1", "/?", "/??optional",
		"/?optional=1&optional=1", "/?%6fptional=1", "/?a=1#/auth/optional", "/#/auth/optional", "/?\\auth\\optional", "/?x=%0d%0aX-User-Id:%201",
		"/optional", "/auth/optional", "/auth/p/optional", "/auth", "/auth/aal2", "//auth/optional", "/auth//optional", "/auth/optional/", "/./auth/optional",
		"/x/../auth/optional", "/../auth/optional", "/auth/../auth/optional", "/auth/..;/optional", "/auth/optional/..;/", "/..;/auth/optional",
		"/auth;/optional", "/auth/optional;x=1", "/%61uth/optional", "/auth%2Foptional", "/auth%2foptional", "/%2e%2e/auth/optional", "/%2e%2e%2fauth%2foptional",
		"/auth%252Foptional", "/auth/optional%00", "/auth/optional%3f", "/auth/optional%23", "/auth/optional%20", "/auth/optional%0a", "/auth/optional%0d%0a",
		"/auth\\optional", "/auth/optional\\", "/AUTH/OPTIONAL", "/auth/optional.", "/auth/optional..", "/auth/optional%", "/auth/optional%zz",
		"/_symbolon", "/_symbolon/", "/_symbolon?x", "/%5fsymbolon", "//_symbolon", "/x/../_symbolon", "/_symbolon/../auth/optional", "/@unavailable", "/healthz", "/readyz", "/me",
		"http://app.example/auth/optional", "http://symbolon/auth/optional", "https://app.example/", "*", "http://app.example/_symbolon",
	} {
		out = append(out, attempt{name: target, target: target})
	}
	for name, headers := range map[string]string{
		"X-Original-URL":         "X-Original-URL: /auth/optional\r\n",
		"X-Rewrite-URL":          "X-Rewrite-URL: /auth/optional\r\n",
		"X-Forwarded-Uri":        "X-Forwarded-Uri: /auth/optional\r\nX-Forwarded-Method: OPTIONS\r\n",
		"X-Accel-Redirect":       "X-Accel-Redirect: /auth/optional\r\n",
		"X-HTTP-Method-Override": "X-HTTP-Method-Override: OPTIONS\r\n",
		"X-Forwarded-Prefix":     "X-Forwarded-Prefix: /auth/optional\r\n",
		"Forwarded":              "Forwarded: for=127.0.0.1;host=symbolon;proto=https\r\nX-Real-IP: 127.0.0.1\r\n",
		"X-Envoy-Original-Path":  "X-Envoy-Original-Path: /auth/optional\r\n",
	} {
		out = append(out, attempt{name: name, headers: headers})
	}
	for _, method := range []string{"OPTIONS", "HEAD", "POST", "TRACE", "PURGE"} {
		out = append(out, attempt{name: method, method: method, headers: "Content-Length: 0\r\n"})
	}
	return out
}
