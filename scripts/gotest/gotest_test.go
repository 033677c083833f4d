package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	const mod = "module example.com/m\n\ngo 1.26\n"
	tests := map[string]struct {
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
			err := run(t.Context(), nil, &out, &errs)
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
