package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/examples/notes/notes"
	"github.com/symbolon-id/symbolon/internal/child"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// demo is everything that runs.
type demo struct {
	t      *terminal
	dir    string // all data and logs
	secret string // of Symbolon: the server's and the application's
	at     addresses

	kratos   *symbolontest.Kratos
	program  string         // the built symbolon
	symbolon *child.Process // `symbolon serve`
	tap      *tap
	db       *sql.DB // the application's
	app      *notes.App

	// Told of every hook that was answered, and of everybody who was linked by a request.
	heard  func(hook)
	linked func(symbolon.Link)

	closers []func() error
}

// start builds and starts everything, with its data in a folder that close removes.
func start(ctx context.Context, t *terminal, once bool) (d *demo, err error) {
	d = &demo{t: t, secret: rand.Text() + rand.Text(), heard: func(hook) {}, linked: func(symbolon.Link) {}}
	if !once {
		d.watch()
	}
	if d.dir, err = os.MkdirTemp("", "symbolon-demo-*"); err != nil {
		return nil, err
	}
	d.atEnd(func() error { return os.RemoveAll(d.dir) })
	err = t.work("Ory Kratos", "is built from source, once: about two minutes", func() (string, error) {
		_, err := symbolontest.BuildKratos(ctx)
		return symbolontest.KratosVersion + ", the real one", err
	})
	if err == nil {
		err = t.work("Symbolon", "is built", func() (string, error) { return "from this folder", d.build(ctx) })
	}
	if err == nil {
		err = t.work("Notes", "and the others start", func() (string, error) { return "on its own table, people", d.startAll(ctx) })
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w%s", err, d.logs()), d.close())
	}
	return d, nil
}

func (d *demo) atEnd(f func() error) { d.closers = append(d.closers, f) }

// close ends everything, what was started last first.
func (d *demo) close() error {
	var faults []error
	for _, f := range slices.Backward(d.closers) {
		faults = append(faults, f())
	}
	http.DefaultClient.CloseIdleConnections()
	return errors.Join(faults...)
}

// build builds the server from the module that this one stands in, as it is now.
func (d *demo) build(ctx context.Context) error {
	root, err := d.output(ctx, exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/symbolon-id/symbolon"))
	if err != nil {
		return fmt.Errorf("find Symbolon's source (run the demo inside examples/notes): %w", err)
	}
	d.program = filepath.Join(d.dir, "symbolon")
	args := append([]string{"build", "-buildvcs=false", "-o", d.program}, raceToo()...)
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/symbolon")...) //nolint:gosec // our own arguments
	cmd.Dir = strings.TrimSpace(root)
	_, err = d.output(ctx, cmd)
	return err
}

// raceToo: a test with the race detector wants it in the server as well, and has its packages built already.
func raceToo() []string {
	info, _ := debug.ReadBuildInfo()
	if info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return []string{"-race"}
	}
	return nil
}

// output runs a program to its end. What it writes goes to files: the end of a pipe may be held by what the program left behind.
func (d *demo) output(ctx context.Context, cmd *exec.Cmd) (string, error) {
	out, err := os.CreateTemp(d.dir, "out-*")
	if err != nil {
		return "", err
	}
	defer out.Close()
	said, err := os.CreateTemp(d.dir, "err-*")
	if err != nil {
		return "", err
	}
	defer said.Close()
	cmd.Stdout, cmd.Stderr = out, said
	if cmd.Env == nil { // the go command: what it leaves when it is killed goes with the rest
		cmd.Env = append(os.Environ(), "GOTMPDIR="+d.dir)
	}
	err = child.Run(ctx, cmd)
	text, _ := os.ReadFile(out.Name())
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, lastOf(said.Name()))
	}
	return string(text), nil
}

// logs is the end of what everybody logged, for when something went wrong.
func (d *demo) logs() string {
	var b strings.Builder
	for _, name := range []string{"symbolon.log", "notes.log", filepath.Join("kratos", "kratos.log")} {
		if text := lastOf(filepath.Join(d.dir, name)); text != "" {
			fmt.Fprintf(&b, "\n\n%s ends:\n%s", name, text)
		}
	}
	return b.String()
}

func lastOf(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text[max(0, len(text)-2000):]))
}
