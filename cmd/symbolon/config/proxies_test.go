package config

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
)

func TestParseNetwork(t *testing.T) {
	for text, want := range map[string]string{"127.0.0.1": "127.0.0.1/32", "10.0.0.0/8": "10.0.0.0/8", "::1": "::1/128", "fd00::/8": "fd00::/8", "::ffff:10.0.0.1": "10.0.0.1/32",
		"10.0.0.1/8": "", "localhost": "", "": "", "*": "", "fe80::1%eth0": "", "10.0.0.0/33": "", "10.0.0.0": "10.0.0.0/32", "::ffff:10.0.0.0/104": ""} {
		p, err := parseNetwork(text)
		if (err == nil) != (want != "") || err == nil && p != netip.MustParsePrefix(want) {
			t.Errorf("%q: %v %v", text, p, err)
		}
	}
}

// TestPoliciesByEnvironment checks that invalid values are refused, as in a file.
func TestPoliciesByEnvironment(t *testing.T) {
	for _, bad := range []string{`[]`, `{"a":1}`, `{"a":{"all":"aal2"}}`, `{"a":{"verified":"true"}}`, `{"a":{"aal":true}}`, `{"a":{"fresh":15}}`, `{"a":{"fresh":"soon"}}`,
		`{"a":{"aal":null}}`, `{"a":{"aal":["aal2"]}}`, `{"a":{},"a":{}}`, `{"optional":{}}`, `{"A":{}}`, `a`} {
		if _, _, err := load(t, "", cmdtest.Env("SYMBOLON_AUTH_POLICIES", bad)); err == nil {
			t.Errorf("%s is accepted", bad)
		} else if !strings.Contains(err.Error(), "auth.policies") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	c, _, err := load(t, "", cmdtest.Env("SYMBOLON_AUTH_POLICIES", `{"a":{"fresh":"15m"},"b":{}}`, "SYMBOLON_AUTH_POLICIES_A_FRESH", "1s"))
	if err != nil || c.Auth.Policies["a"].Fresh != 15*time.Minute || len(c.Auth.Policies) != 2 {
		text, _ := json.Marshal(c)
		t.Errorf("%s %v", text, err)
	}
	// A variable below a policy's name is not a key, so the file's value is used.
	c, warnings, err := load(t, "secret: ${SYMBOLON_SECRET}\nauth: {policies: {a: {fresh: 15m}}}\n", cmdtest.Env("SYMBOLON_AUTH_POLICIES_A_FRESH", "1s"))
	if err != nil || c.Auth.Policies["a"].Fresh != 15*time.Minute || len(warnings) != 1 {
		t.Errorf("%v %v", warnings, err)
	}
}
