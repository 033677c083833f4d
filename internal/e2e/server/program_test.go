package server

import (
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/symbolon-id/symbolon/internal/e2e"
)

var programs struct {
	sync.Mutex
	built map[bool]string // by watched: whether it has the race detector
}

// sqliteUnwatched excludes SQLite's own code from the race detector, as make test does.
const sqliteUnwatched = "-gcflags=modernc.org/sqlite/lib=-race=false"

// program builds the program once and returns its path. It is the test binary of
// cmd/symbolon. It runs as the program if cmdtest.BeTheProgram is set, and can kill
// itself in the middle of a write (cmdtest.DieAtWrite).
//
// If watched is set, it has the race detector if these tests have it. Tests that kill the
// program do not set it, because the detector reports nothing for a killed process and
// makes every start slow. SYMBOLON_RACE=all always adds the detector.
func program(t *testing.T, watched bool) string {
	t.Helper()
	race := raceDetector && (watched || os.Getenv("SYMBOLON_RACE") == "all")
	programs.Lock()
	defer programs.Unlock()
	if path := programs.built[race]; path != "" {
		return path
	}
	path, err := os.Executable() // go test removes the files beside the test binary
	if err != nil {
		t.Fatal(err)
	}
	path += ".symbolon"
	args := []string{"test", "-c", "-buildvcs=false", "-o", path}
	if race {
		path += "-race"
		args = []string{"test", "-c", "-buildvcs=false", "-race", sqliteUnwatched, "-o", path}
	}
	build := exec.Command("go", append(args, ".")...)
	build.Dir = e2e.File(t, "cmd", "symbolon")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	if programs.built == nil {
		programs.built = map[bool]string{}
	}
	programs.built[race] = path
	return path
}
