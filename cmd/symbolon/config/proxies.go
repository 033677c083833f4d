package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon/forwardauth"
	"github.com/symbolon-id/symbolon/forwardauth/assertion"
	"github.com/symbolon-id/symbolon/internal/faults"
	"github.com/symbolon-id/symbolon/session"
)

var policiesType = reflect.TypeFor[map[string]PolicyConfig]()

func (c *Config) checkProxies(r *report) {
	for i, text := range c.Serve.TrustedProxies {
		_, err := parseNetwork(text)
		r.faultIf(err != nil, fmt.Sprintf("serve.trusted_proxies[%d]", i), "it must be an IP address or a network such as 10.0.0.0/8, whose host bits are 0")
	}
	if user, password, ok := strings.Cut(c.Hooks.Basic.Hydrate.Reveal(), ":"); c.Hooks.Basic.Hydrate != "" {
		r.faultIf(!ok || user == "" || !visible(user), "hooks.basic.hydrate", "it must be user:password")
		checkKey(r, "hooks.basic.hydrate", password)
	}
	problems := faults.In(c.ForwardAuth(nil, nil).Check())
	c.checkLogin(r, problems)
	for _, key := range slices.Sorted(maps.Keys(headerFields)) {
		r.faultIn("auth.headers."+key, problems["Headers."+headerFields[key]])
	}
	r.faultIf(!visible(c.Auth.Audience) || len(c.Auth.Audience) > 256, "auth.audience", "it must be at most 256 characters of visible ASCII without spaces")
	for _, name := range slices.Sorted(maps.Keys(c.Auth.Policies)) {
		path := "auth.policies." + shown(name)
		r.faultIn(path, problems["Policies["+name+"]"])
		c.checkPolicy(r, path, c.Auth.Policies[name])
	}
}

// checkLogin reports the problems of the login page that forwardauth.ForwardAuth.Check found.
func (c *Config) checkLogin(r *report, problems map[string]error) {
	r.faultIn("auth.login_url", problems["Login.URL"])
	for i := range c.Auth.ReturnToHosts {
		r.faultIn(fmt.Sprintf("auth.return_to_hosts[%d]", i), problems[fmt.Sprintf("Login.ReturnTo[%d]", i)])
	}
	if len(c.Auth.ReturnToHosts) > 0 && len(c.Serve.TrustedProxies) == 0 {
		r.warn("auth.return_to_hosts", "it has no effect without serve.trusted_proxies: a return_to is made only from the headers of a trusted proxy")
	}
}

func (c *Config) checkPolicy(r *report, path string, p PolicyConfig) {
	r.rules(
		rule{p.AAL != "" && p.AAL != "aal1" && p.AAL != "aal2", path + ".aal", "it must be aal1 or aal2"},
		rule{outside(p.Fresh, time.Second, 365*24*time.Hour), path + ".fresh", "it must be between 1s and 8760h, or 0s for any"},
		rule{p.LoginRedirect && c.Auth.LoginURL == "", path + ".login_redirect", "it needs auth.login_url"},
	)
}

func parseNetwork(text string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(text); err == nil && ip.Zone() == "" {
		ip = ip.Unmap()
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err == nil && (p != p.Masked() || p.Addr().Is4In6()) {
		err = errors.New("it has host bits")
	}
	return p, err
}

// TrustedProxies are the networks of serve.trusted_proxies.
func (c *Config) TrustedProxies() (networks []netip.Prefix) {
	for _, text := range c.Serve.TrustedProxies {
		if p, err := parseNetwork(text); err == nil { // it was checked
			networks = append(networks, p)
		}
	}
	return networks
}

// ForwardAuth is the endpoint that proxies ask. It is made here because its Check is a part
// of the configuration's.
func (c *Config) ForwardAuth(v *session.Verifier, signer *assertion.Signer) *forwardauth.ForwardAuth {
	f := &forwardauth.ForwardAuth{Verifier: v, Signer: signer, Policies: map[string]forwardauth.Policy{},
		Headers: forwardauth.Headers{UserID: c.HeaderName("user_id"), IdentityID: c.HeaderName("identity_id"), SessionID: c.HeaderName("session_id"),
			AAL: c.HeaderName("aal"), Email: c.HeaderName("email"), Assertion: c.HeaderName("assertion")},
		Login: forwardauth.Login{URL: c.Auth.LoginURL, ReturnTo: c.Auth.ReturnToHosts, TrustedProxies: c.TrustedProxies()}}
	for name, p := range c.Auth.Policies {
		policy := forwardauth.Policy{LoginRedirect: p.LoginRedirect}
		if p.AAL == "aal2" {
			policy.Require = append(policy.Require, session.AAL2)
		}
		if p.Verified {
			policy.Require = append(policy.Require, session.Verified)
		}
		if p.Fresh > 0 {
			policy.Require = append(policy.Require, session.Fresh(p.Fresh))
		}
		f.Policies[name] = policy
	}
	return f
}

// Signer signs assertions; nil without an audience.
func (c *Config) Signer() *assertion.Signer {
	if c.Auth.Audience == "" {
		return nil
	}
	return &assertion.Signer{Issuer: c.Serve.URL, Audience: c.Auth.Audience, Secrets: c.Secrets()}
}

// HydrateLogin is the login of Oathkeeper's hydrator: the configured one, or the passwords
// that are derived from all secrets.
func (c *Config) HydrateLogin() (user string, passwords []string) {
	if user, password, ok := strings.Cut(c.Hooks.Basic.Hydrate.Reveal(), ":"); ok {
		return user, []string{password}
	}
	for _, secret := range c.Secrets() {
		passwords = append(passwords, base64.RawURLEncoding.EncodeToString(secret.Derive("hydrate")))
	}
	return "symbolon", passwords
}
