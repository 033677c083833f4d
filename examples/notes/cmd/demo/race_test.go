package main

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/internal/wait"
)

// TestReconcileComesFirst lets a reconcile run link Ada before the link hook arrives. The demo accepts that and says so.
func TestReconcileComesFirst(t *testing.T) {
	inTemp(t)
	out, d := &said{}, new(*demo)
	hold := func(ctx context.Context, h hook) {
		for ctx.Err() == nil && h.identity != "" {
			if link, err := (*d).ledger(ctx, h.identity); err == nil && link != nil && link.linked > 0 {
				return
			}
			_ = wait.For(ctx, 50*time.Millisecond)
		}
	}
	*d = begin(t, out, options{once: true, hold: hold, env: []string{"SYMBOLON_RECONCILE_EVERY=1s", "SYMBOLON_RECONCILE_LOAD=100%"}})
	if err := (*d).journey(t.Context()); err != nil {
		t.Fatalf("%v\nafter:\n%s", err, out)
	}
	for _, want := range []string{"linked by a reconcile run             found her at Ory first", "Ada was linked by a reconcile run, Grace by "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
}

// TestOryGivesUp has no link hook, and Ory's log says that it gave up. The first requests link.
func TestOryGivesUp(t *testing.T) {
	inTemp(t)
	out := &said{}
	d := begin(t, out, options{once: true, hold: func(context.Context, hook) { panic(http.ErrAbortHandler) }, env: []string{"SYMBOLON_RECONCILE_EVERY=0s"}})
	if err := d.journey(t.Context()); err != nil {
		t.Fatalf("%v\nafter:\n%s", err, out)
	}
	for _, want := range []string{"never came: Ory gave up", "Ada was linked by the first request, Grace by the first request"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
}

// begin starts a demo that is stopped at the end of the test.
func begin(t *testing.T, out *said, o options) *demo {
	t.Helper()
	d, err := start(t.Context(), newTerminal(out), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// TestPortsInUse checks that the demo uses other ports, and says which and what to do.
func TestPortsInUse(t *testing.T) {
	var network net.ListenConfig
	for _, port := range []int{4455, 4434} {
		if l, err := network.Listen(t.Context(), "tcp", address(port)); err == nil { // else it is in use already
			defer l.Close()
		}
	}
	out := &said{}
	d := &demo{t: newTerminal(out)}
	if err := d.choose(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.sayPorts()
	for _, want := range []string{"! Port 4455 is in use: the notes application has port ", "! Port 4434 is in use: Kratos' admin API has port ", "lsof -i :PORT"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
	if err := d.close(); err != nil {
		t.Error(err)
	}
}

func TestHoldOf(t *testing.T) {
	for _, bad := range []string{"2", "-1s", "2m", "soon"} {
		if _, err := holdOf(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	for _, good := range []string{"", "0s", "1ms"} {
		if hold, err := holdOf(good); err != nil {
			t.Error(err)
		} else {
			hold(t.Context(), hook{})
		}
	}
}

// TestWork checks that work of more than a second is shown with its hint, and on a terminal also with its duration.
func TestWork(t *testing.T) {
	for _, tty := range []bool{false, true} {
		out := &said{}
		shown := "SYMBOLON_KRATOS=/path/to/kratos takes yours instead.\n"
		if tty {
			shown = "s\x1b[0m" // the seconds, dimmed
		}
		term := &terminal{w: out, tty: tty}
		err := term.work("Ory Kratos", "is built from source, this one time", kratosHint, func() (string, error) {
			for end := time.Now().Add(time.Minute); !strings.Contains(out.String(), shown); time.Sleep(20 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("on a terminal: %v, output %q", tty, out)
				}
			}
			return "built", nil
		})
		text := out.String()
		if err != nil || !strings.Contains(text, "About 2 minutes") || !strings.Contains(text, "SYMBOLON_KRATOS=/path/to/kratos") || !strings.HasSuffix(text, "built\n") {
			t.Errorf("%v: %q", err, text)
		}
		for line := range strings.Lines(text) {
			if !tty && len([]rune(line)) > 81 {
				t.Errorf("longer than 80 characters: %q", line)
			}
		}
	}
}
