package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/doctor"
)

// TestDoctorIsDocumented checks that docs/doctor.md has exactly one line for every check, in
// the order of the program.
func TestDoctorIsDocumented(t *testing.T) {
	check := regexp.MustCompile("^\\| `([a-z]+\\.[a-z_]+)` \\| .+ \\|$")
	var documented []string
	for line := range strings.Lines(cmdtest.ReadFile(t, filepath.Join("..", "..", "docs", "doctor.md"))) {
		if m := check.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			documented = append(documented, m[1])
		}
	}
	if got, want := strings.Join(documented, "\n"), strings.Join(doctor.Checks(), "\n"); got != want {
		t.Errorf("documented:\n%s\nwanted:\n%s", got, want)
	}
}
