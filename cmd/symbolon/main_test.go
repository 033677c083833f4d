package main

import (
	"bytes"
	"context"
	"database/sql"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
)

func TestMain(m *testing.M) {
	if os.Getenv(cmdtest.BeTheProgram) != "" {
		cmdtest.ArmWrites()
		main()
	}
	symbolontest.Main(m)
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"sqlite": func(ts *testscript.TestScript, _ bool, args []string) { // sqlite FILE STATEMENT
				db, err := sql.Open("sqlite", sqlstore.SQLiteDSN(ts.MkAbs(args[0])))
				ts.Check(err)
				defer func() { ts.Check(db.Close()) }()
				_, err = db.Exec(args[1])
				ts.Check(err)
			},
		},
		Setup: func(e *testscript.Env) error {
			program, err := os.Executable()
			if err != nil {
				return err
			}
			bin := filepath.Join(e.WorkDir, ".bin")
			if err := os.Mkdir(bin, 0o700); err != nil {
				return err
			}
			e.Setenv("PATH", bin+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Setenv(cmdtest.BeTheProgram, "1")
			e.Setenv("SECRET", cmdtest.Secret)
			e.Setenv("GORACE", os.Getenv("GORACE"))
			return os.Symlink(program, filepath.Join(bin, "symbolon"))
		},
	})
}

// runIn runs the program in this process.
func runIn(t *testing.T, env config.Environ, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), args, env, cli.Stdio{Out: &stdout, Err: &stderr})
	return code, stdout.String(), stderr.String()
}

func TestExitCodes(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, test := range []struct {
		args []string
		env  config.Environ
		code int
		says string // on stderr
	}{
		{[]string{"version"}, cmdtest.Env(), 0, ""},
		{[]string{"--help"}, cmdtest.Env(), 0, ""},
		{[]string{"serve", "--help"}, cmdtest.Env(), 0, ""},
		{nil, cmdtest.Env(), 2, "symbolon: expected one of"},
		{[]string{"dance"}, cmdtest.Env(), 2, "symbolon: hint: symbolon --help"},
		{[]string{"version", "--fast"}, cmdtest.Env(), 2, "unknown flag"},
		{[]string{"serve", "--log-level", "loud"}, cmdtest.Env(), 2, "log level"},
		{[]string{"serve", "extra"}, cmdtest.Env(), 2, "unexpected argument"},
		{[]string{"show"}, cmdtest.Env(), 2, "expected"},
		{[]string{"bind", "1d000000-0000-4000-8000-000000000001"}, cmdtest.Env(), 2, "expected"},
		{[]string{"bind", "no-uuid", "42"}, cmdtest.Env(), 2, "is not a UUID"},
		{[]string{"bind", "00000000-0000-0000-0000-000000000000", "42"}, cmdtest.Env(), 2, "nil UUID"},
		{[]string{"bind", "1d000000-0000-4000-8000-000000000001", "a\x00"}, cmdtest.Env(), 2, "user_id"},
		{[]string{"show", "42"}, cmdtest.Env("SYMBOLON_SECRET", ""), 2, "secret: it is missing"},
		{[]string{"show", "42", "--config", "missing.yaml"}, cmdtest.Env(), 2, "missing.yaml"},
		{[]string{"show", "42"}, cmdtest.Env(), 1, "there is no database at symbolon.db"},
		{[]string{"show", "42"}, cmdtest.Env("SYMBOLON_DATABASE", "postgres://u:"+cmdtest.Key+"@127.0.0.1:1/db"), 1, "does not answer"},
		{[]string{"serve"}, cmdtest.Env("SYMBOLON_DATABASE", "sqlite:///nonexistent/folder/symbolon.db"), 1, "open the database"},
		{[]string{"serve"}, cmdtest.Env("SYMBOLON_DATABASE", "sqlite:///nonexistent/folder/symbolon.db"), 1, "no configuration file was found"},
		{[]string{"actions", "print"}, cmdtest.Env(), 0, ""},
		{[]string{"actions", "print", "--for", "auth0"}, cmdtest.Env(), 2, "kratos.yml, network, create_url or oathkeeper"},
		{[]string{"actions", "print", "--for", "kratos.yml", "--methods", "password,telepathy"}, cmdtest.Env(), 2, "telepathy"},
		{[]string{"actions", "print", "--for", "kratos.yml", "--kratos-config", "missing.yml"}, cmdtest.Env(), 2, "missing.yml"},
	} {
		code, _, errs := runIn(t, test.env, test.args...)
		if code != test.code || !strings.Contains(errs, test.says) {
			t.Errorf("%v: exit %d, want %d and %q:\n%s", test.args, code, test.code, test.says, errs)
		}
		if strings.Contains(errs, "cAnArY") {
			t.Errorf("%v shows a secret:\n%s", test.args, errs)
		}
		for line := range strings.Lines(errs) {
			if code != 0 && !strings.HasPrefix(line, "symbolon: ") && !strings.HasPrefix(line, "{") {
				t.Errorf("%v: %q lacks the program's name", test.args, line)
			}
		}
	}
}

// TestStaticBinary checks that the released program needs no libraries of the machine.
func TestStaticBinary(t *testing.T) {
	program := filepath.Join(t.TempDir(), "symbolon")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(program)
	if err != nil || info.Size() > 30<<20 {
		t.Errorf("%v, %d MB", err, info.Size()>>20)
	}
	text, err := os.ReadFile(program)
	if err != nil || bytes.Contains(text, []byte("/ld-linux")) {
		t.Errorf("the program is linked dynamically: %v", err)
	}
	out, err := exec.CommandContext(ctx, program, "version").Output()
	if err != nil || !strings.HasPrefix(string(out), "symbolon ") {
		t.Errorf("%s, %v", out, err)
	}
	http.DefaultClient.CloseIdleConnections()
}
