package chaos

import (
	"os/exec"
	"strings"
	"testing"
)

// SQLite3 has Debian's sqlite3 do something with a file, and returns its output. It waits
// for locks like any application.
func SQLite3(t testing.TB, path, command string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "sqlite3", "-cmd", ".timeout 60000", path, command).CombinedOutput()
	if err != nil {
		t.Errorf("sqlite3, %s: %v\n%s", command, err, out)
	}
	return strings.TrimSpace(string(out))
}

// Python reads with one statement and writes with another, as an application in Python that
// shares the file does.
func Python(t testing.TB, path, read, write string) {
	t.Helper()
	const script = `
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=60)
db.execute(sys.argv[2]).fetchone()
with db:
    db.execute(sys.argv[3])
db.close()
`
	if out, err := exec.CommandContext(t.Context(), "python3", "-c", script, path, read, write).CombinedOutput(); err != nil {
		t.Errorf("python: %v\n%s", err, out)
	}
}
