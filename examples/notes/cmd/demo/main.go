// Command demo runs all of Symbolon on this machine: a real Ory Kratos, `symbolon serve`, and the notes application, whose users table
// Symbolon fills.
//
//	browser ──▶ notes ──▶ Kratos ──▶ tap ──▶ symbolon serve
//	              │                              │
//	              └────────── notes.db ──────────┘
//
// The tap is between Kratos and Symbolon's hooks, so that the demo can show each hook, or lose it on purpose. With -once the demo signs
// two people up by itself, checks every step, and exits with 0 if each check passed.
//
// The order of events may differ: on a busy machine a hook, a request and a reconcile run race, and the demo accepts each of them as the
// first. For tests of all orders, SYMBOLON_DEMO_HOLD_LINK=2s delays each link hook by a random time of up to 2 seconds, and
// SYMBOLON_RECONCILE_EVERY=1s makes reconcile run all the time.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/symbolon-id/symbolon/internal/wait"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	once := flags.Bool("once", false, "sign two people up without a browser, check each step, and end")
	if err := flags.Parse(args); err != nil {
		return err
	}
	hold, err := holdOf(os.Getenv("SYMBOLON_DEMO_HOLD_LINK"))
	if err != nil {
		return err
	}
	ctx, stop := withParent(ctx)
	defer stop()
	t := newTerminal(out)
	t.title("Symbolon: an identity at Ory, a user in your database, and the bond of the two")

	d, err := start(ctx, t, options{once: *once, hold: hold, env: schedule()})
	if err == nil {
		err = errors.Join(d.show(ctx, *once), d.close())
	}
	if ctx.Err() != nil && !*once { // Ctrl-C is the normal end
		t.note("  Stopped. All data of the demo is removed.")
		return nil
	}
	return err
}

// schedule returns the environment variables of the server's schedule, such as SYMBOLON_RECONCILE_EVERY.
func schedule() []string {
	return slices.DeleteFunc(os.Environ(), func(pair string) bool { return !strings.HasPrefix(pair, "SYMBOLON_RECONCILE_") })
}

// holdOf returns a function that delays a link hook by a random time of at most this duration.
func holdOf(text string) (func(context.Context, hook), error) {
	if text == "" {
		return func(context.Context, hook) {}, nil
	}
	most, err := time.ParseDuration(text)
	if err != nil || most < 0 || most > time.Minute {
		return nil, fmt.Errorf("SYMBOLON_DEMO_HOLD_LINK must be a duration between 0s and 1m, not %q", text)
	}
	return func(ctx context.Context, _ hook) { _ = wait.For(ctx, rand.N(most+1)) }, nil //nolint:gosec // not a secret
}

func (d *demo) show(ctx context.Context, once bool) error {
	if once {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
		defer cancel()
		if err := d.journey(ctx); err != nil {
			return fmt.Errorf("%w%s", err, d.logs())
		}
		return nil
	}
	d.welcome()
	select {
	case <-ctx.Done():
		return nil
	case <-d.symbolon.Done():
		return fmt.Errorf("symbolon serve ended by itself%s", d.logs())
	}
}

// withParent cancels the context when the parent process ends, for example a killed `go run`.
func withParent(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := context.WithCancel(ctx)
	parent := os.Getppid()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for os.Getppid() == parent {
			if wait.For(ctx, time.Second) != nil {
				return
			}
		}
		stop()
	}()
	return ctx, func() { stop(); <-done }
}
