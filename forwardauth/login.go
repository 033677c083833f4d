package forwardauth

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon/internal/faults"
)

// Login is where ForwardAuth sends browsers without a session.
type Login struct {
	// URL is the login page. For Kratos it is Kratos' /self-service/login/browser. The
	// address that the person asked for is added as return_to.
	URL string

	// ReturnTo are the exact hosts that return_to may have: "app.example",
	// "app.example:8443". If it is empty, return_to is never added.
	ReturnTo []string

	// TrustedProxies are the peers whose X-Forwarded-Proto, -Host, -Uri and -Method, or
	// X-Original-URL, are believed. These headers are used for return_to and nothing else.
	// If TrustedProxies is empty, they are never used. See also
	// [session.Verifier.TrustedProxies].
	TrustedProxies []netip.Prefix
}

// Check reports all errors in the fields. URL may be empty.
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

// redirect returns the login page for a browser, or "" for a program. Only a GET that
// accepts HTML is treated as the request of a browser.
func (l *Login) redirect(r *http.Request) string {
	method, from := r.Method, ""
	if l.trusts(r.RemoteAddr) {
		from = askedFor(r.Header)
		if m, ok := single(r.Header, "X-Forwarded-Method"); ok {
			method = m
		}
	}
	return l.page(method, r.Header["Accept"], from)
}

// page returns the login page for a browser, or "" for a program. The parameter from is the
// URL that the browser asked for.
func (l *Login) page(method string, accept []string, from string) string {
	if l.URL == "" || method != http.MethodGet || !wantsPage(accept) {
		return ""
	}
	if !l.mayReturnTo(from) {
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
	peerPort, err := netip.ParseAddrPort(peer)
	if err != nil {
		return false
	}
	ip := peerPort.Addr().Unmap().WithZone("")
	return slices.ContainsFunc(l.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// askedFor returns the client's URL according to the proxy, or "". A header with two values
// is ignored, because one of them may come from the client.
func askedFor(h http.Header) string {
	proto, okProto := single(h, "X-Forwarded-Proto")
	host, okHost := single(h, "X-Forwarded-Host")
	uri, okURI := single(h, "X-Forwarded-Uri")
	original, okOriginal := single(h, "X-Original-Url")
	switch {
	case okProto && okHost && okURI && strings.HasPrefix(uri, "/"):
		if _, both := h["X-Original-Url"]; both && original != proto+"://"+host+uri {
			return "" // the headers contradict each other
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

// mayReturnTo reports whether s is a URL whose exact host is allowed.
func (l *Login) mayReturnTo(s string) bool {
	u, ok := webURL(s)
	return ok && slices.Contains(l.ReturnTo, strings.ToLower(u.Host))
}

const maxURL = 2 << 10

// webURL reads an absolute http(s) URL. It refuses a URL that two readers may understand
// differently: browsers drop tabs, read a backslash as a slash, and accept forms of hosts
// that other programs do not accept. Each of these has caused an open redirect in some
// program.
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
	// Apart from optional escapes in the path, printing u gives s again.
	return u, strings.HasPrefix(s, u.Scheme+"://"+u.Host+"/")
}

// isHost accepts names and IPv4 addresses, with or without a port.
func isHost(s string) bool {
	name, port, hasPort := strings.Cut(s, ":")
	if hasPort && (port == "" || len(port) > 5 || strings.Trim(port, "0123456789") != "") {
		return false
	}
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") == ""
}

// wantsPage reports whether the client accepts text/html by name.
func wantsPage(accept []string) bool {
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		kind, params, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(kind), "text/html") && !strings.HasPrefix(strings.ReplaceAll(params, " ", "")+";", "q=0;") {
			return true
		}
	}
	return false
}
