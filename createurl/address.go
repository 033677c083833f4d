package createurl

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// CheckURL reports why raw cannot be where an application makes users: not http or
// https, credentials in it, a fragment, an address that is never an application's, or
// plain http to a public one. A name is judged by the address that it leads to, each
// time that a connection is made. Its text never repeats the URL.
func CheckURL(raw string) error {
	_, err := parseURL(raw)
	return err
}

func parseURL(raw string) (plain bool, err error) {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return false, errors.New("it is not set")
	case err != nil:
		return false, errors.New("it is not a URL") // the parser's words repeat what may hold a password
	case u.Scheme != "http" && u.Scheme != "https":
		return false, errors.New("it does not start with http:// or https://")
	case u.User != nil:
		return false, errors.New("it holds credentials; the signature is what proves us")
	case u.Hostname() == "" || u.Opaque != "":
		return false, errors.New("it names no host")
	case oddNumber(u.Hostname()):
		return false, errors.New("its host is a number that is no IP address")
	case u.Fragment != "":
		return false, errors.New("it has a fragment")
	case !validPort(u):
		return false, errors.New("its port must be between 1 and 65535")
	}
	plain = u.Scheme == "http"
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		return plain, checkAddress(a, plain)
	}
	return plain, nil
}

// oddNumber reports whether some resolvers read the host as an IPv4 address although it
// is not written as one: 2130706433, 127.1, 0x7f.0.0.1.
func oddNumber(host string) bool {
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	last := labels[len(labels)-1]
	if _, err := strconv.ParseUint(last, 0, 64); err != nil && strings.Trim(last, "0123456789") != "" {
		return false
	}
	_, err := netip.ParseAddr(host)
	return err != nil
}

func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.Atoi(u.Port())
	return err == nil && n > 0 && n < 65536
}

// addressError is an address that is not connected to.
type addressError struct {
	address netip.Addr
	why     string
}

func (e *addressError) Error() string { return fmt.Sprintf("%s is %s", e.address, e.why) }

var (
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
	this  = netip.MustParsePrefix("0.0.0.0/8")
	cgnat = netip.MustParsePrefix("100.64.0.0/10")

	// Link-local addresses are most clouds'; these are the others'.
	metadata = []netip.Addr{netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("192.0.0.192")}
)

// checkAddress refuses what no application listens on: above all the metadata services
// of clouds, which hand out credentials to whoever asks from inside.
func checkAddress(a netip.Addr, plain bool) error {
	judged := a.Unmap().WithZone("")
	if nat64.Contains(judged) {
		b := judged.As16()
		judged = netip.AddrFrom4([4]byte(b[12:]))
	}
	for _, m := range metadata {
		if judged == m {
			return &addressError{a, "a cloud's metadata service"}
		}
	}
	switch {
	case judged.IsLinkLocalUnicast():
		return &addressError{a, "link-local, where clouds have their metadata services"}
	case judged.IsUnspecified(), this.Contains(judged), judged.IsMulticast(), judged == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return &addressError{a, "no address of a machine"}
	case plain && !judged.IsLoopback() && !judged.IsPrivate() && !cgnat.Contains(judged):
		return &addressError{a, "a public address: use https"}
	}
	return nil
}

// pool connects by itself and past every proxy, so that the address which is judged is
// the one that is used.
func pool(size int, plain bool) *http.Transport {
	return &http.Transport{
		DialContext:            dialer(plain).DialContext,
		MaxIdleConnsPerHost:    size,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    5 * time.Second,
		MaxResponseHeaderBytes: maxAnswer,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
	}
}

// dialer judges the address after the name was resolved, at the moment of the
// connection: no later answer of the resolver changes it.
func dialer(plain bool) *net.Dialer {
	return &net.Dialer{Timeout: 5 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		a, err := netip.ParseAddrPort(address)
		if err != nil {
			return errors.New("no IP address")
		}
		return checkAddress(a.Addr(), plain)
	}}
}
