package config

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/symbolon-id/symbolon/ory"
)

// checkAPI checks the base URL of an API that secrets are sent to, and returns it without
// its last slash. Plain http to a public address is a fault.
func checkAPI(r *report, path, text string) string {
	if err := ory.CheckURL(text); err != nil {
		r.fault(path, "%s", err)
		return text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil: // impossible: CheckURL has parsed it
	case strings.Contains(text, "#"):
		r.fault(path, "it has a fragment")
	case strings.Contains(u.EscapedPath(), "//") || strings.Contains(u.EscapedPath(), "/.") || strings.Contains(text, "\\"):
		r.fault(path, "its path must be plain: no //, no dots, no backslash")
	case !validPort(u):
		r.fault(path, "its port must be between 1 and 65535")
	case strings.HasSuffix(text, "/"):
		r.warn(path, "it ends with a slash, which was dropped")
	}
	return strings.TrimSuffix(text, "/")
}

func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.Atoi(u.Port())
	return err == nil && n > 0 && n < 65536
}

// address is the address of a listener.
type address struct{ host, port string }

func checkAddress(r *report, path, text string) (address, bool) {
	host, port, err := net.SplitHostPort(text)
	n, portErr := strconv.Atoi(port)
	if err != nil || portErr != nil || n < 0 || n > 65535 {
		r.fault(path, "it must be host:port or :port, the port between 0 and 65535")
		return address{}, false
	}
	if strings.ContainsAny(host, " /@") {
		r.fault(path, "its host must be a name or an IP address")
		return address{}, false
	}
	return address{host, port}, true
}

// IsLoopback reports whether only this machine can reach a host.
func IsLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// taken reports whether two listeners need the same port of the same address.
func (a address) taken(b address) bool {
	if a.port != b.port || a.port == "0" {
		return false
	}
	return a.host == b.host || a.anywhere() || b.anywhere()
}

func (a address) anywhere() bool { return a.host == "" || a.host == "0.0.0.0" || a.host == "::" }
