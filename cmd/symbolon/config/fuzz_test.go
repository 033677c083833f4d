package config

import (
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
)

// FuzzConfig checks that every file is read or refused, and that no fault repeats the
// value of a secret.
func FuzzConfig(f *testing.F) {
	f.Add("secret: ${SYMBOLON_SECRET}\n")
	f.Add(everything)
	f.Add("a: &a [*a]\n")
	f.Add("ory: !!map {project: x}\n? [a]\n: b\n")
	f.Add(laughs())
	f.Add("auth: {headers: {user_id: content-length, assertion: Authorization}}\n")
	f.Fuzz(func(t *testing.T, text string) {
		r := &report{where: map[string]string{}}
		c := Defaults()
		y := &yamlReader{report: r, name: "f", env: cmdtest.Env()}
		y.read([]byte(text), c)
		y.read([]byte("secret: {k: "+cmdtest.Key+"}\n"+text), c)
		overlayEnv(c, cmdtest.Env(), r)
		c.check(r)
		if err := r.err(); err == nil || strings.Contains(err.Error(), cmdtest.Key) {
			t.Errorf("%q: %v", text, err)
		}
	})
}
