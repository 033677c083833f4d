package main

import (
	"bytes"
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
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/examples/notes/notes"
	"github.com/symbolon-id/symbolon/internal/child"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// demo has all programs of the demo.
type demo struct {
	t      *terminal
	dir    string // folder of all data and logs
	secret string // shared by Symbolon's server and the application
	at     addresses

	kratos   *symbolontest.Kratos
	program  string         // path of the built symbolon
	symbolon *child.Process // `symbolon serve`
	tap      *tap
	db       *sql.DB // the application's database
	app      *notes.App
	client   *browser // for the APIs of Ory and Symbolon

	// Called for every answered hook, and for every person whom a request linked.
	heard  func(hook)
	linked func(symbolon.Link)

	options
	closers []func() error
}

type options struct {
	once bool
	hold func(context.Context, hook) // see tap
	env  []string                    // added to symbolon's environment
}

// start builds and starts all programs. Their data is in a folder that close removes.
func start(ctx context.Context, t *terminal, o options) (d *demo, err error) {
	d = &demo{t: t, options: o, secret: rand.Text() + rand.Text(), client: newBrowser(), heard: func(hook) {}, linked: func(symbolon.Link) {}}
	if !o.once {
		d.watch()
	}
	if d.dir, err = os.MkdirTemp("", "symbolon-demo-*"); err != nil {
		return nil, err
	}
	d.atEnd(func() error { return os.RemoveAll(d.dir) })
	err = t.work("Ory Kratos", "is built from source, this one time", kratosHint, func() (string, error) { return buildKratos(ctx) })
	if err == nil {
		err = t.work("Symbolon", "is built", "", func() (string, error) { return "built from this folder", d.build(ctx) })
	}
	if err == nil {
		err = t.work("Notes", "starts, with the two others", "", func() (string, error) { return "a small web application, with its table people", d.startAll(ctx) })
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w%s", err, d.logs()), d.close())
	}
	d.sayPorts()
	return d, nil
}

// Measured on two idle cores with a fast module proxy: 107 seconds, 5 of them for
// downloads.
const kratosHint = `About 2 minutes on 2 free cores, longer on busy ones.
SYMBOLON_KRATOS=/path/to/kratos takes yours instead.`

// buildKratos returns the name of the Kratos that it built.
func buildKratos(ctx context.Context) (name string, err error) {
	name = symbolontest.KratosVersion + ", built from source"
	if path := os.Getenv("SYMBOLON_KRATOS"); path != "" {
		name = path + " (SYMBOLON_KRATOS)"
	}
	_, err = symbolontest.BuildKratos(ctx)
	return name, err
}

func (d *demo) atEnd(f func() error) { d.closers = append(d.closers, f) }

// close stops all programs, in the reverse order of their start.
func (d *demo) close() error {
	var faults []error
	for _, f := range slices.Backward(d.closers) {
		faults = append(faults, f())
	}
	http.DefaultClient.CloseIdleConnections()
	return errors.Join(faults...)
}

// build builds the server from the current source of the module above this one.
func (d *demo) build(ctx context.Context) error {
	root, err := d.output(ctx, exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/symbolon-id/symbolon"))
	if err != nil {
		return fmt.Errorf("find Symbolon's source (run the demo inside examples/notes): %w", err)
	}
	d.program = filepath.Join(d.dir, "symbolon")
	args := append([]string{"build", "-buildvcs=false", "-ldflags=-s -w", "-o", d.program}, sameFlags()...)
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/symbolon")...) //nolint:gosec // our own arguments
	cmd.Dir = strings.TrimSpace(root)
	_, err = d.output(ctx, cmd)
	return err
}

// sameFlags returns the flags of this program or test that decide about the race detector,
// because the packages are built with them already.
func sameFlags() (flags []string) {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "-race" || s.Key == "-gcflags" {
				flags = append(flags, s.Key+"="+s.Value)
			}
		}
	}
	return flags
}

// output runs a program to its end and returns its output.
func (d *demo) output(ctx context.Context, cmd *exec.Cmd) (string, error) {
	var out, faults bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &faults
	cmd.WaitDelay = 5 * time.Second // a process that it started may keep the pipe open
	if cmd.Env == nil {             // a go command that is killed must leave its files in our folder
		cmd.Env = append(os.Environ(), "GOTMPDIR="+d.dir)
	}
	if err := child.Run(ctx, cmd); err != nil {
		return "", fmt.Errorf("%w\n%s", err, lastOf(faults.Bytes()))
	}
	return out.String(), nil
}

// sayPorts prints which usual ports are in use, and what to do about it.
func (d *demo) sayPorts() {
	if len(d.at.replaced) == 0 {
		return
	}
	d.t.print("\n")
	for _, said := range d.at.replaced {
		d.t.print("  ! %s\n", said)
	}
	d.t.print("    %s\n", d.t.styled(dim, "Nothing has to be done. For the usual ports, end the programs that have them"))
	d.t.print("    %s\n", d.t.styled(dim, "(another demo? `lsof -i :PORT` names them) and start the demo again."))
}

// logs returns the ends of all logs, for a failure.
func (d *demo) logs() string {
	var b strings.Builder
	for _, name := range []string{"symbolon.log", "notes.log", filepath.Join("kratos", "kratos.log")} {
		text, err := os.ReadFile(d.file(name))
		if err == nil && len(text) > 0 {
			fmt.Fprintf(&b, "\n\n%s ends:\n%s", name, lastOf(text))
		}
	}
	return b.String()
}

func lastOf(text []byte) string { return strings.TrimSpace(string(text[max(0, len(text)-2000):])) }
