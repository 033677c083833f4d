package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
)

// The golden files record the output for users of the program. After an intended change
// run:
//
// 	go test ./cmd/symbolon -run Golden -update && git diff cmd/symbolon/testdata/golden

var update = flag.Bool("update", false, "write the golden files anew; read the difference before you keep it")

// golden compares text with testdata/golden/NAME.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil { //nolint:gosec // source code
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s has changed (-update writes it again):\n%s", path, firstDifference(string(want), got))
	}
}

// firstDifference returns the lines around the first different line.
func firstDifference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	part := func(lines []string) string { return strings.Join(lines[min(n, len(lines)):min(n+5, len(lines))], "\n") }
	return fmt.Sprintf("line %d, after\n%s\nwas\n%s\nis\n%s", n+1, strings.Join(a[max(0, n-8):n], "\n"), part(a), part(b))
}

// commandLines returns all commands and command groups. The first one is the program
// itself.
func commandLines(t *testing.T) (lines [][]string) {
	t.Helper()
	parser, err := kong.New(&commandLine{})
	if err != nil {
		t.Fatal(err)
	}
	var walk func(n *kong.Node, line []string)
	walk = func(n *kong.Node, line []string) {
		lines = append(lines, line)
		for _, child := range n.Children {
			walk(child, append(line[:len(line):len(line)], child.Name))
		}
	}
	walk(parser.Model.Node, nil)
	return lines
}

// record runs the program and records its exit code and output.
func record(t *testing.T, b *strings.Builder, env config.Environ, args ...string) {
	t.Helper()
	code, out, errs := runIn(t, env, args...)
	b.WriteString("$")
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if name != "SYMBOLON_SECRET" {
			fmt.Fprintf(b, " %s=%s", name, env[name])
		}
	}
	fmt.Fprintf(b, " %s\nexit code %d\n", strings.Join(append([]string{"symbolon"}, args...), " "), code)
	for _, stream := range []struct{ name, text string }{{"stdout", out}, {"stderr", errs}} {
		for line := range strings.Lines(stream.text) {
			fmt.Fprintf(b, "%s| %s\n", stream.name, strings.TrimRight(line, "\n"))
		}
	}
	b.WriteString("\n")
}

// inEmptyFolder runs f in an empty folder, with a fixed terminal width.
func inEmptyFolder(t *testing.T, f func(b *strings.Builder)) string {
	t.Helper()
	t.Setenv("COLUMNS", "80")
	back, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	var b strings.Builder
	f(&b)
	t.Chdir(back)
	return b.String()
}

func TestGoldenHelp(t *testing.T) {
	golden(t, "help.txt", inEmptyFolder(t, func(b *strings.Builder) {
		for _, line := range commandLines(t) {
			record(t, b, config.Environ{}, append(line, "--help")...)
		}
	}))
}

// TestGoldenUsage calls every command wrongly: with an unknown flag, with arguments that
// it does not have, and without a secret.
func TestGoldenUsage(t *testing.T) {
	golden(t, "usage.txt", inEmptyFolder(t, func(b *strings.Builder) {
		for _, line := range commandLines(t) {
			record(t, b, config.Environ{}, append(line, "--telepathy")...)
			record(t, b, config.Environ{}, append(line, "a", "b", "c")...)
			if text := strings.Join(line, " "); text != "init" && text != "version" { // both need no secret
				record(t, b, config.Environ{}, line...)
			}
		}
		const id = "1d000000-0000-4000-8000-000000000001"
		for _, line := range []string{
			"serve --log-level loud", "serve --config missing.yaml", "show 42", "bind no-uuid 42", "bind " + id + " 42", "bind " + id + " 42 --why",
			"actions print --for auth0", "actions print --for kratos.yml --methods telepathy", "actions print --for network --kratos-config missing.yml",
			"adopt --by telepathy", "adopt --apply plan.csv --undo 5f0c2a9be417", "reconcile --only telepathy", "erase 42 --row keep --yes",
		} {
			record(t, b, cmdtest.Env(), strings.Fields(line)...)
		}
		record(t, b, cmdtest.Env("SYMBOLON_SERVE_PUBLIC", "nowhere", "SYMBOLON_ORY_PUBLIC_URL", "kratos", "SYMBOLON_ORY_ADMINURL", "x"), "show", "42")
	}))
}
