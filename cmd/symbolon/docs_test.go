package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/doctor"
)

// TestDoctorIsDocumented checks that docs/doctor.md has exactly one section for every
// check.
func TestDoctorIsDocumented(t *testing.T) {
	text := cmdtest.ReadFile(t, filepath.Join("..", "..", "docs", "doctor.md"))
	var documented []string
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "### "); ok {
			documented = append(documented, strings.Trim(name, "`"))
		}
	}
	if got, want := strings.Join(documented, "\n"), strings.Join(doctor.Checks(), "\n"); got != want {
		t.Errorf("documented:\n%s\nwanted:\n%s", got, want)
	}
	for _, section := range strings.Split(text, "\n### ")[1:] {
		for _, word := range []string{"**Breaks**", "**Fix**"} {
			if !strings.Contains(section, word) {
				t.Errorf("section %s lacks %s", strings.SplitN(section, "\n", 2)[0], word)
			}
		}
	}
}
