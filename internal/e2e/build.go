package e2e

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/lockedfile"
)

// Build returns the path of the program name. SYMBOLON_CADDY or SYMBOLON_OATHKEEPER can
// name one. Otherwise it is built from the module internal/NAME the first time, in about
// a minute on two cores, and kept in the user's cache folder.
func Build(t *testing.T, name string) string {
	t.Helper()
	if path := os.Getenv("SYMBOLON_" + strings.ToUpper(name)); path != "" {
		return path
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	source := File(t, "internal", name)
	h := sha256.New()
	for _, file := range []string{"go.mod", "go.sum", "main.go"} {
		text, err := os.ReadFile(filepath.Join(source, file))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprintf(h, "%d:%s", len(text), text)
	}
	_, _ = fmt.Fprint(h, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	dir := filepath.Join(cache, "symbolon", fmt.Sprintf("%s-%.6x", name, h.Sum(nil)))
	program := filepath.Join(dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	unlock, err := lockedfile.MutexAt(dir + ".lock").Lock()
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if _, err := os.Stat(program); err == nil {
		return program
	}
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", "-s -w", "-o", program+".new", ".")
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
	if err := os.Rename(program+".new", program); err != nil {
		t.Fatal(err)
	}
	return program
}
