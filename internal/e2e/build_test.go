package e2e_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/internal/e2e"
)

// TestBuildCaddy builds Caddy, so that other tests do not wait for the build.
func TestBuildCaddy(t *testing.T) {
	out, err := exec.Command(e2e.Build(t, "caddy"), "version").Output()
	if err != nil || !strings.Contains(string(out), "v2.") {
		t.Errorf("%s %v", out, err)
	}
}
