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

	"github.com/symbolon-id/symbolon/internal/outbound"
)

// CheckURL reports why raw cannot be the URL of an application. It rejects schemes other
// than http and https, credentials, fragments, addresses that no application has, and
// plain http to a public address. A host name is checked later, by its address, each
// time a connection is made. The error never contains the URL.
func CheckURL(raw string) error {
	_, err := parseURL(raw)
	return err
}

func parseURL(raw string) (plain bool, err error) {
	u, err := outbound.ParseURL(raw)
	switch {
	case err != nil:
		return false, err
	case u.User != nil:
		return false, errors.New("it contains credentials; Symbolon proves itself by the signature")
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

func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.Atoi(u.Port())
	return err == nil && n > 0 && n < 65536
}

// addressError is an address that Symbolon refuses to connect to.
type addressError struct {
	address netip.Addr
	why     string
}

func (e *addressError) Error() string { return fmt.Sprintf("%s is %s", e.address, e.why) }

var (
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
	this  = netip.MustParsePrefix("0.0.0.0/8")
	cgnat = netip.MustParsePrefix("100.64.0.0/10")

	// Most clouds use link-local addresses for metadata. The others use these addresses.
	metadata = []netip.Addr{netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("192.0.0.192")}
)

// checkAddress refuses addresses that no application listens on. The most dangerous are
// the metadata services of clouds, which give credentials to any caller inside.
func checkAddress(a netip.Addr, plain bool) error {
	checked := a.Unmap().WithZone("")
	if nat64.Contains(checked) {
		b := checked.As16()
		checked = netip.AddrFrom4([4]byte(b[12:]))
	}
	for _, m := range metadata {
		if checked == m {
			return &addressError{a, "a cloud's metadata service"}
		}
	}
	switch {
	case checked.IsLinkLocalUnicast():
		return &addressError{a, "link-local, where clouds have their metadata services"}
	case checked.IsUnspecified(), this.Contains(checked), checked.IsMulticast(), checked == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return &addressError{a, "not the address of a machine"}
	case plain && !checked.IsLoopback() && !checked.IsPrivate() && !cgnat.Contains(checked):
		return &addressError{a, "a public address: use https"}
	}
	return nil
}

// pool connects directly and ignores proxy settings, so that the checked address is the
// address that is used.
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

// dialer checks the address when it connects, after the name was resolved. A later answer
// of the resolver cannot change it.
func dialer(plain bool) *net.Dialer {
	return &net.Dialer{Timeout: 5 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		a, err := netip.ParseAddrPort(address)
		if err != nil {
			return errors.New("no IP address")
		}
		return checkAddress(a.Addr(), plain)
	}}
}
