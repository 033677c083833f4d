package forwardauth

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon/internal/faults"
)

// Login says where ForwardAuth sends browsers without a session.
type Login struct {
	// URL is the login page: with Kratos its /self-service/login/browser. Where the
	// person came from is added as return_to.
	URL string

	// ReturnTo are the hosts that return_to may name, exactly: "app.example",
	// "app.example:8443". Empty: return_to is never added.
	ReturnTo []string

	// TrustedProxies are the peers whose X-Forwarded-Proto, -Host, -Uri and -Method,
	// or X-Original-URL, are believed, for return_to and nothing else. If it is empty,
	// no peer's are.
	TrustedProxies []netip.Prefix
}

// Check reports everything that is wrong with the fields. URL may be empty.
func (l *Login) Check() error {
	all := faults.Of("Login")
	if l.URL != "" && !isLoginURL(l.URL) {
		all.Say("URL", "it must be http(s)://host/path, such as https://ory.example.com/self-service/login/browser")
	}
	for i, host := range l.ReturnTo {
		if !isReturnHost(host) {
			all.Say(fmt.Sprintf("ReturnTo[%d]", i), "it must be host or host:port in lower case, exactly: app.example.com")
		}
	}
	return all.Err()
}

// isReturnHost reports whether s can be allowed as the host of return_to.
func isReturnHost(s string) bool {
	u, ok := webURL("https://" + s + "/")
	return ok && u.Host == s && s == strings.ToLower(s) && !strings.HasPrefix(s, ".")
}

// isLoginURL reports whether s can be the login page.
func isLoginURL(s string) bool { _, ok := webURL(s); return ok }

// redirect returns where to send a browser, or "" for a program. Only a GET that accepts a
// page is taken for a browser's.
func (l *Login) redirect(r *http.Request) string {
	trusted := l.trusts(r.RemoteAddr)
	method := r.Method
	if m, ok := single(r.Header, "X-Forwarded-Method"); trusted && ok {
		method = m
	}
	from := ""
	if trusted {
		from = askedFor(r.Header)
	}
	return l.page(method, r.Header["Accept"], from)
}

// page is where to send a browser that asked for from, which may be any text.
func (l *Login) page(method string, accept []string, from string) string {
	if l.URL == "" || method != http.MethodGet || !wantsPage(accept) {
		return ""
	}
	from, ok := l.returnTo(from)
	if !ok {
		return l.URL
	}
	sep := "?"
	if strings.Contains(l.URL, "?") {
		sep = "&"
	}
	return l.URL + sep + "return_to=" + url.QueryEscape(from)
}

// trusts reports whether a peer is one of the trusted proxies.
func (l *Login) trusts(peer string) bool {
	if len(l.TrustedProxies) == 0 {
		return false
	}
	host, _, err := net.SplitHostPort(peer)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	ip = ip.Unmap().WithZone("")
	return slices.ContainsFunc(l.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// askedFor is the URL that the client asked the proxy for, in the proxy's words. A
// header that stands there twice says nothing: one of them may be the client's.
func askedFor(h http.Header) string {
	proto, okProto := single(h, "X-Forwarded-Proto")
	host, okHost := single(h, "X-Forwarded-Host")
	uri, okURI := single(h, "X-Forwarded-Uri")
	original, okOriginal := single(h, "X-Original-Url")
	switch {
	case okProto && okHost && okURI && strings.HasPrefix(uri, "/"):
		if _, both := h["X-Original-Url"]; both && original != proto+"://"+host+uri {
			return "" // they contradict each other
		}
		return proto + "://" + host + uri
	case okOriginal && !okProto && !okHost && !okURI:
		return original
	}
	return ""
}

func single(h http.Header, name string) (string, bool) {
	if len(h[name]) != 1 {
		return "", false
	}
	return h[name][0], true
}

// returnTo lets a URL through whose host is allowed, exactly.
func (l *Login) returnTo(s string) (string, bool) {
	u, ok := webURL(s)
	if !ok || !slices.Contains(l.ReturnTo, strings.ToLower(u.Host)) {
		return "", false
	}
	return s, true
}

const maxURL = 2 << 10

// webURL reads an absolute http(s) URL that every reader understands in the same
// way, or else refuses it. Browsers drop tabs, take a backslash for a slash and
// know forms of hosts that others do not; each has been somebody's open redirect.
func webURL(s string) (*url.URL, bool) {
	if len(s) > maxURL || !strings.HasPrefix(s, "http://") && !strings.HasPrefix(s, "https://") {
		return nil, false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\\#\"<>^`{|}", c) >= 0 {
			return nil, false
		}
	}
	u, err := url.Parse(s)
	if err != nil || u.User != nil || u.Opaque != "" || !isHost(u.Host) || u.Path == "" {
		return nil, false
	}
	for _, c := range u.Path { // decoded
		if c < ' ' || c == 0x7f || c == '\\' || c == '\uFFFD' {
			return nil, false
		}
	}
	// Written anew it is the same, but for bytes of the path that may be escaped or not.
	return u, strings.HasPrefix(s, u.Scheme+"://"+u.Host+"/")
}

// isHost takes names and IPv4 addresses, with or without a port.
func isHost(s string) bool {
	name, port, hasPort := strings.Cut(s, ":")
	if hasPort && (port == "" || len(port) > 5 || strings.Trim(port, "0123456789") != "") {
		return false
	}
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") == ""
}

// wantsPage reports whether text/html is among what a client accepts by name.
func wantsPage(accept []string) bool {
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		kind, params, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(kind), "text/html") && !strings.HasPrefix(strings.ReplaceAll(params, " ", ""), "q=0;") &&
			strings.ReplaceAll(params, " ", "") != "q=0" {
			return true
		}
	}
	return false
}
