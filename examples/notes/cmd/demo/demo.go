package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/examples/notes/notes"
	"github.com/symbolon-id/symbolon/examples/notes/ory"
	"github.com/symbolon-id/symbolon/internal/child"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// demo is everything that runs.
type demo struct {
	t      *terminal
	dir    string // all data and logs
	secret string

	kratos                         *symbolontest.Kratos
	tap                            *tap
	symbolon                       *child.Process
	program                        string // of symbolon
	symbolonURL, operatorURL       string
	db                             *sql.DB
	app                            *notes.App
	notesURL                       string
	linked                         func(symbolon.Link) // told of everybody who was linked by a request
	kratosPort, adminPort, tapPort net.Listener

	closers []func() error
}

// start starts everything, each with its data in a folder that close removes.
func start(ctx context.Context, t *terminal) (d *demo, err error) {
	d = &demo{t: t, secret: rand.Text() + rand.Text(), linked: func(symbolon.Link) {}}
	if d.dir, err = os.MkdirTemp("", "symbolon-demo-*"); err != nil {
		return nil, err
	}
	d.atEnd(func() error { return os.RemoveAll(d.dir) })
	err = errors.Join(
		t.work("Ory Kratos", "building it from source: about two minutes, once", func() (string, error) {
			_, err := symbolontest.BuildKratos(ctx)
			return symbolontest.KratosVersion + ", the real one", err
		}))
	if err == nil {
		err = t.work("Symbolon", "building it", func() (string, error) { return "built", d.build(ctx) })
	}
	if err == nil {
		err = t.work("all three", "starting", func() (string, error) { return "up", d.startAll(ctx) })
	}
	if err != nil {
		return nil, errors.Join(err, d.close())
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
	root, err := d.output(ctx, exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/symbolon-id/symbolon"))
	if err != nil {
		return fmt.Errorf("find Symbolon's source (run the demo inside examples/notes): %w", err)
	}
	d.program = filepath.Join(d.dir, "symbolon")
	cmd := exec.Command("go", append([]string{"build", "-buildvcs=false", "-o", d.program}, append(raceToo(), "./cmd/symbolon")...)...)
	cmd.Dir = strings.TrimSpace(string(root))
	if _, err := d.output(ctx, cmd); err != nil {
		return fmt.Errorf("build symbolon: %w", err)
	}
	return nil
}

// raceToo: a test with the race detector wants it in the server as well.
func raceToo() []string {
	info, _ := debug.ReadBuildInfo()
	if info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return []string{"-race"}
	}
	return nil
}

// output runs a program to its end. Its output goes to a file, so that its end is noticed whatever it leaves behind.
func (d *demo) output(ctx context.Context, cmd *exec.Cmd) ([]byte, error) {
	out, err := os.CreateTemp(d.dir, "output-*")
	if err != nil {
		return nil, err
	}
	defer out.Close()
	said, err := os.CreateTemp(d.dir, "said-*")
	if err != nil {
		return nil, err
	}
	defer said.Close()
	cmd.Stdout, cmd.Stderr = out, said
	if err := child.Run(ctx, cmd); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, lastOf(said.Name()))
	}
	return os.ReadFile(out.Name())
}

func (d *demo) startAll(ctx context.Context) error {
	public, operator, err := d.addresses()
	if err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{d.openDatabase, d.startKratos, d.startNotes} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return d.startSymbolon(ctx, public, operator)
}
