package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// File returns the path of a file or folder of this repository.
func File(t *testing.T, elem ...string) string {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	path := filepath.Join(append([]string{filepath.Dir(here), "..", ".."}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// Node returns the path of the Node program.
func Node(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"node", "nodejs"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("Node is missing: run scripts/deps.sh nodejs")
	return os.DevNull
}

// Torture returns the number of rounds of a test: torture with `make torture`, and usual in
// every other run.
func Torture(usual, torture int) int {
	if os.Getenv("SYMBOLON_TORTURE") != "" {
		return torture
	}
	return usual
}
