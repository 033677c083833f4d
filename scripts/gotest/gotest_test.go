package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestRun(t *testing.T) {
	const mod = "module example.com/m\n\ngo 1.26\n"
	tests := map[string]struct {
		args  []string
		files map[string]string
		want  string // the last line
		shown []string
		fails string
	}{
		"two modules": {
			files: map[string]string{
				"go.mod": mod, "a_test.go": testFile(`func TestA(t *testing.T) { t.Log("quiet") }`),
				"nested/go.mod": mod, "nested/b_test.go": testFile(`func TestB(t *testing.T) {}`),
				"plain/go.mod": mod, "plain/main.go": "package main\n",
			},
			want: "2 passed, 0 failed, 0 skipped",
		},
		"race detector on packages only": {
			args: []string{"-race=packages"},
			files: map[string]string{
				"go.mod": mod, "a/a_test.go": testFile(`func TestA(t *testing.T) {}`),
				"e2e/library/norace.go":   "//go:build !race\n\npackage m\n\nconst race = false\n",
				"e2e/library/race.go":     "//go:build race\n\npackage m\n\nconst race = true\n",
				"e2e/library/b_test.go":   testFile(`func TestB(t *testing.T) { if race { t.Error("race detector") } }`),
				"session/norace.go":       "//go:build !race\n\npackage m\n\nconst race = false\n",
				"session/race.go":         "//go:build race\n\npackage m\n\nconst race = true\n",
				"session/c_test.go":       testFile(`func TestC(t *testing.T) { if !race { t.Error("no race detector") } }`),
				"nested/go.mod":           mod,
				"nested/e2e/main_test.go": testFile(`func TestD(t *testing.T) {}`),
			},
			want: "4 passed, 0 failed, 0 skipped",
		},
		"skipped": {
			files: map[string]string{"go.mod": mod, "a_test.go": testFile(`func TestA(t *testing.T) { t.Skip("no database") }` + "\nfunc TestB(t *testing.T) {}")},
			want:  "1 passed, 0 failed, 1 skipped", shown: []string{"no database", "skipped: example.com/m TestA"}, fails: "skipped",
		},
		"failed": {
			files: map[string]string{"go.mod": mod, "a_test.go": testFile(`func TestA(t *testing.T) { t.Run("sub", func(t *testing.T) { t.Fatal("wrong") }) }`)},
			want:  "0 passed, 2 failed, 0 skipped", shown: []string{"wrong"}, fails: "failed",
		},
		"panics": {
			files: map[string]string{"go.mod": mod, "a_test.go": testFile(`func TestA(t *testing.T) { panic("boom") }`)},
			want:  "0 passed, 1 failed, 0 skipped", shown: []string{"boom"}, fails: "failed",
		},
		"does not build": {
			files: map[string]string{"go.mod": mod, "a_test.go": testFile(`func TestA(t *testing.T) { undefined() }`)},
			want:  "0 passed, 1 failed, 0 skipped", shown: []string{"undefined: undefined"}, fails: "failed",
		},
		"nothing": {
			files: map[string]string{"go.mod": mod, "a_test.go": testFile("")},
			want:  "0 passed, 0 failed, 0 skipped", fails: "no test ran",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			for path, text := range tt.files {
				write(t, path, text)
			}
			var out, errs bytes.Buffer
			err := run(t.Context(), tt.args, &out, &errs)
			if got := err != nil; got != (tt.fails != "") || got && !strings.Contains(err.Error(), tt.fails) {
				t.Errorf("error %v, want %q", err, tt.fails)
			}
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if last := lines[len(lines)-1]; last != tt.want {
				t.Errorf("ends with %q, want %q", last, tt.want)
			}
			for _, text := range tt.shown {
				if !strings.Contains(out.String(), text) {
					t.Errorf("does not show %q", text)
				}
			}
			if t.Failed() || strings.Contains(out.String(), "quiet") {
				t.Errorf("printed:\n%s%s", out.String(), errs.String())
			}
		})
	}
}

func TestModulesWithTests(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, path := range []string{
		"go.mod", "x/x_test.go", "x/y/go.mod", "x/y/z/z_test.go", "xy/go.mod",
		"testdata/go.mod", "testdata/a_test.go", ".tools/go.mod", ".tools/a_test.go",
	} {
		write(t, path, "")
	}
	got, err := modulesWithTests(".")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{".", filepath.Join("x", "y")}; !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestSplitModule(t *testing.T) {
	got := splitModule(".", []string{".", "./cmd/symbolon", "./internal/e2e", "./internal/e2e/library", "./internal/e2e/server", "./mint", "./session"})
	want := []job{
		{".", []string{"-count=1"}, []string{"./internal/e2e/library", "./internal/e2e"}, nil},
		{".", []string{"-race", ours, "-count=1"}, []string{"./internal/e2e/server"}, nil},
		{".", []string{"-race", ours, fmt.Sprintf("-p=%d", runtime.GOMAXPROCS(0)+1)}, []string{"./session", "./cmd/symbolon", ".", "./mint"}, nil},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestUnwatchedIsAlone checks that the package without the race detector has no instance
// of generic code. The linker keeps one of several equal instances. If it keeps an
// unwatched one, the detector misses the order of accesses in other packages.
func TestUnwatchedIsAlone(t *testing.T) {
	unwatched, _, _ := strings.Cut(strings.TrimPrefix(ours, "-gcflags="), "=")
	object, err := exec.Command("go", "list", "-race", ours, "-export", "-f", "{{.Export}}", unwatched).Output()
	if err != nil {
		t.Fatal(err)
	}
	symbols, err := exec.Command("go", "tool", "nm", strings.TrimSpace(string(object))).Output()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(symbols, []byte(" T "+unwatched+".")) {
		t.Fatalf("%s has no symbols", unwatched)
	}
	if at := bytes.Index(symbols, []byte("go.shape.")); at >= 0 {
		t.Errorf("%s has an instance of generic code: %.200s", unwatched, symbols[at:])
	}
}

func TestReadArguments(t *testing.T) {
	for _, tt := range []struct {
		args, options string
		split         bool
	}{
		{"-race=packages -run X", "-run X", true},
		{"-race=packages -race", "-race", false},
		{"--race=packages -p 1", "-p 1", true},
		{"-race -timeout 1m", "-race -timeout 1m", false},
	} {
		options, split := readArguments(strings.Fields(tt.args))
		if strings.Join(options, " ") != tt.options || split != tt.split {
			t.Errorf("%s: %v, %v", tt.args, options, split)
		}
	}
}

func TestCriticalPath(t *testing.T) {
	const s = time.Second
	spans := []span{
		{"a", 0, 5 * s, 20 * s}, {"b", 0, 5 * s, 30 * s}, {"c", 0, 21 * s, 25 * s}, {"d", 0, 31 * s, 90 * s},
		{"other lane", 1, 2 * s, 29 * s}, {"e", 1, 40 * s, 60 * s},
	}
	var got []string
	for _, span := range criticalPath(spans) {
		got = append(got, span.pkg)
	}
	if want := []string{"b", "d"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	var out bytes.Buffer
	r := newReport(&out)
	r.spans = spans
	r.printTimes()
	for _, text := range []string{"59.0  at    31.0  d", "5.0  builds and short packages\n     25.0  b\n"} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("does not print %q:\n%s", text, out.String())
		}
	}
}

func testFile(body string) string {
	return "package m\n\nimport \"testing\"\n\nvar _ testing.TB\n\n" + body + "\n"
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
