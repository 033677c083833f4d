package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/examples/notes/notes"
	"github.com/symbolon-id/symbolon/examples/notes/ory"
	"github.com/symbolon-id/symbolon/internal/child"
	"github.com/symbolon-id/symbolon/internal/port"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// addresses are chosen before the programs start, because each program needs the address
// of another one.
type addresses struct {
	notes, tap, kratosPublic, kratosAdmin, symbolon, operator net.Listener

	replaced []string // messages about usual ports that other programs use
}

// choose takes the usual ports. A free port replaces each port that is in use.
func (d *demo) choose(ctx context.Context) error {
	for _, server := range []struct {
		name     string
		usual    int
		listener *net.Listener
	}{
		{"the notes application", 4455, &d.at.notes},
		{"the tap for hooks", 4459, &d.at.tap},
		{"Kratos' public API", 4433, &d.at.kratosPublic},
		{"Kratos' admin API", 4434, &d.at.kratosAdmin},
		{"Symbolon", 4460, &d.at.symbolon},
		{"Symbolon's admin API", 4461, &d.at.operator},
	} {
		l, err := listen(ctx, server.usual)
		if err != nil {
			return err
		}
		d.atEnd(func() error { _ = l.Close(); return nil }) // a second Close, if the server closed it
		if portOf(l) != server.usual {
			d.at.replaced = append(d.at.replaced, fmt.Sprintf("Port %d is in use: %s has port %d now.", server.usual, server.name, portOf(l)))
		}
		*server.listener = l
	}
	// The other programs listen by themselves. Until here the listeners kept their ports
	// free.
	for _, l := range []net.Listener{d.at.kratosPublic, d.at.kratosAdmin, d.at.symbolon, d.at.operator} {
		_ = l.Close()
	}
	return nil
}

// listen takes the usual port, or else a free one.
func listen(ctx context.Context, usual int) (net.Listener, error) {
	var network net.ListenConfig
	if l, err := network.Listen(ctx, "tcp", address(usual)); err == nil {
		return l, nil
	}
	free, err := port.Free()
	if err != nil {
		return nil, err
	}
	return network.Listen(ctx, "tcp", address(free))
}

func address(port int) string        { return "127.0.0.1:" + strconv.Itoa(port) }
func urlOf(l net.Listener) string    { return "http://" + l.Addr().String() }
func portOf(l net.Listener) int      { return l.Addr().(*net.TCPAddr).Port }
func (d *demo) notesURL() string     { return urlOf(d.at.notes) }
func (d *demo) operatorURL() string  { return urlOf(d.at.operator) }
func (d *demo) file(n string) string { return filepath.Join(d.dir, n) }

func (d *demo) startAll(ctx context.Context) error {
	if err := d.choose(ctx); err != nil {
		return fmt.Errorf("find free ports on 127.0.0.1: %w; end some programs that listen there, and start the demo again", err)
	}
	for _, start := range []func(context.Context) error{d.startNotes, d.startKratos, d.startSymbolon} {
		if err := start(ctx); err != nil {
			return d.portAdvice(err)
		}
	}
	return nil
}

// portAdvice adds advice to an error if another program took a port between choose and
// the start of its server.
func (d *demo) portAdvice(err error) error {
	said := err.Error() + d.logs()
	if strings.Contains(said, "address already in use") || strings.Contains(said, "the port is taken") {
		return fmt.Errorf("another program took a port of 127.0.0.1 while the demo started; start the demo again: %w", err)
	}
	return err
}

// startNotes starts the application in this process. It creates the users table, which
// Symbolon needs.
func (d *demo) startNotes(ctx context.Context) (err error) {
	if d.db, err = notes.Open(ctx, d.file("notes.db")); err != nil {
		return err
	}
	d.atEnd(d.db.Close)
	log, err := os.Create(d.file("notes.log"))
	if err != nil {
		return err
	}
	d.atEnd(log.Close)
	d.app = &notes.App{DB: d.db, URL: d.notesURL(), Ory: urlOf(d.at.kratosPublic), OryAdmin: urlOf(d.at.kratosAdmin),
		Secrets: []symbolon.Secret{symbolon.Secret(d.secret)}, Log: slog.New(slog.NewTextHandler(log, nil)),
		Linked: func(_ context.Context, l symbolon.Link) { d.linked(l) }}
	handler, err := d.app.Handler()
	if err != nil {
		return err
	}
	d.atEnd(func() error { return bounded(d.app.Close) })
	d.serve(d.at.notes, handler)
	return nil
}

// startKratos starts a real Kratos with ory/kratos.yml and the hooks that Symbolon
// prints. The hooks call the tap.
func (d *demo) startKratos(ctx context.Context) error {
	d.tap = &tap{target: urlOf(d.at.symbolon), heard: d.heard, hold: d.hold}
	d.serve(d.at.tap, d.tap)
	actions, err := d.output(ctx, d.command("actions", "print", "--for", "kratos.yml"))
	if err != nil {
		return fmt.Errorf("symbolon actions print: %w", err)
	}
	dir := d.file("kratos")
	overlay, err := ory.Overlay(dir, d.notesURL(), []byte(actions))
	if err != nil {
		return err
	}
	d.kratos, err = symbolontest.LaunchKratos(ctx, symbolontest.KratosConfig{Dir: dir, UIURL: d.notesURL(), Overlay: overlay,
		PublicPort: portOf(d.at.kratosPublic), AdminPort: portOf(d.at.kratosAdmin)})
	if err != nil {
		return err
	}
	d.atEnd(func() error { d.kratos.Kill(); return nil }) // the data is not needed afterwards
	return nil
}

// startSymbolon starts `symbolon serve` as a process on the application's database.
func (d *demo) startSymbolon(ctx context.Context) error {
	log, err := os.Create(d.file("symbolon.log"))
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own handle
	cmd := d.command("serve")
	cmd.Stdout, cmd.Stderr = log, log
	if d.symbolon, err = child.Start(cmd, syscall.SIGKILL); err != nil {
		return err
	}
	d.atEnd(func() error { d.symbolon.Stop(syscall.SIGTERM, 10*time.Second); return nil })
	return d.waitReady(ctx)
}

func (d *demo) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute, errors.New("symbolon was not ready within two minutes"))
	defer cancel()
	return until(ctx, 20*time.Millisecond, func() (ready bool, err error) {
		if !d.symbolon.Running() {
			return false, fmt.Errorf("symbolon ended: %w", d.symbolon.Err())
		}
		page, err := d.client.send(ctx, http.MethodGet, urlOf(d.at.symbolon)+"/readyz", nil)
		return err == nil && page.status == http.StatusOK, nil
	})
}

// command returns a symbolon command with all settings.
func (d *demo) command(args ...string) *exec.Cmd {
	people := notes.People()
	columns, _ := json.Marshal(people.Columns)                           // strings only
	cmd := exec.CommandContext(context.Background(), d.program, args...) //nolint:gosec // our own program; child ends it
	cmd.Dir = d.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"),
		"SYMBOLON_SECRET=" + d.secret,
		"SYMBOLON_DATABASE=sqlite://" + filepath.ToSlash(d.file("notes.db")),
		"SYMBOLON_ORY_PUBLIC_URL=" + urlOf(d.at.kratosPublic),
		"SYMBOLON_ORY_ADMIN_URL=" + urlOf(d.at.kratosAdmin),
		"SYMBOLON_SERVE_PUBLIC=" + d.at.symbolon.Addr().String(),
		"SYMBOLON_SERVE_ADMIN=" + d.at.operator.Addr().String(),
		"SYMBOLON_SERVE_URL=" + urlOf(d.at.tap), // where Ory reaches it
		"SYMBOLON_SERVE_DRAIN=0s",               // no other server takes over
		"SYMBOLON_USERS_TABLE=" + people.Table,
		"SYMBOLON_USERS_IDENTITY=" + people.Identity,
		"SYMBOLON_USERS_NEW_ID=" + string(people.NewID),
		"SYMBOLON_USERS_COLUMNS=" + string(columns),
	}
	cmd.Env = append(cmd.Env, d.env...)
	return cmd
}

func (d *demo) serve(l net.Listener, h http.Handler) {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }() // ends with Close
	d.atEnd(func() error { err := server.Close(); <-done; return err })
}

func bounded(f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return f(ctx)
}
