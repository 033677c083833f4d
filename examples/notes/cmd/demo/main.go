// Command demo runs all of Symbolon on this machine, for looking at: a real Ory Kratos, `symbolon serve`, and the notes application,
// whose users table Symbolon keeps.
//
//	browser ──▶ notes ──▶ Kratos ──▶ tap ──▶ symbolon serve
//	              │                              │
//	              └────────── notes.db ──────────┘
//
// The tap stands where Kratos' hooks arrive, so that each can be shown as it comes, or lost on purpose. With -once the demo signs two
// people up by itself, checks everything that it says, and ends: with 0 if all of it was so.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
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
	once := flags.Bool("once", false, "make the journey by itself, check it, and end")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := withParent(ctx)
	defer stop()
	t := newTerminal(out)
	t.title("Symbolon: an identity at Ory, a user in your database, and the bond between them")

	d, err := start(ctx, t, *once)
	if err == nil {
		err = errors.Join(d.show(ctx, *once), d.close())
	}
	if ctx.Err() != nil && !*once { // Ctrl-C is how it ends
		t.note("Stopped, and everything removed.")
		return nil
	}
	return err
}

func (d *demo) show(ctx context.Context, once bool) error {
	if once {
		ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
		defer cancel()
		if err := d.journey(ctx); err != nil {
			return fmt.Errorf("it is not so: %w%s", err, d.logs())
		}
		return nil
	}
	d.welcome()
	select {
	case <-ctx.Done():
		return nil
	case <-d.symbolon.Done():
		return fmt.Errorf("symbolon ended by itself%s", d.logs())
	}
}

// withParent ends the context when the program that started this one is gone, as `go run` is when somebody kills it.
func withParent(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := context.WithCancel(ctx)
	parent := os.Getppid()
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if os.Getppid() != parent {
					stop()
				}
			}
		}
	}()
	return ctx, func() { stop(); <-done }
}
