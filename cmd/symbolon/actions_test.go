package main

import (
	"bytes"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
)

// TestOathkeeperConfig checks that the printed password is accepted, also during a
// rotation of the secret, and with a password of the operator's choice.
func TestOathkeeperConfig(t *testing.T) {
	c := config.Defaults()
	c.Secret, c.PreviousSecrets = cmdtest.Secret, []config.Hidden{cmdtest.Key}
	printed := func() (user, password string) {
		var b bytes.Buffer
		if err := writeOathkeeper(c, &b); err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Mutators struct {
				Hydrator struct {
					Config struct {
						API struct {
							URL  string
							Auth struct {
								Basic struct{ Username, Password string }
							}
						} `yaml:"api"`
					}
				}
			}
		}
		if err := yaml.Unmarshal(b.Bytes(), &doc); err != nil || doc.Mutators.Hydrator.Config.API.URL != "http://127.0.0.1:4460/hydrate" {
			t.Fatalf("%s %v", b.String(), err)
		}
		basic := doc.Mutators.Hydrator.Config.API.Auth.Basic
		return basic.Username, basic.Password
	}
	user, password := printed()
	if u, p := c.HydrateLogin(); user != u || len(p) != 2 || password != p[0] || p[0] == p[1] || len(password) < 40 {
		t.Errorf("%s %d", user, len(p))
	}
	c.Hooks.Basic.Hydrate = "keeper:" + cmdtest.Key + ":x"
	if user, password = printed(); user != "keeper" || password != cmdtest.Key+":x" {
		t.Errorf("%s", user)
	}
}
