// Command notes runs the example application. See README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/examples/notes/notes"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "notes:", err)
		os.Exit(1) //nolint:forbidigo // this is main
	}
}

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	env := func(key, otherwise string) string {
		if v := getenv(key); v != "" {
			return v
		}
		return otherwise
	}
	flags := flag.NewFlagSet("notes", flag.ContinueOnError)
	flags.SetOutput(stderr)
	listen := flags.String("listen", env("NOTES_LISTEN", "127.0.0.1:4455"), "address to listen on ($NOTES_LISTEN)")
	url := flags.String("url", env("NOTES_URL", "http://127.0.0.1:4455"), "where browsers reach this application ($NOTES_URL)")
	ory := flags.String("ory", env("ORY_PUBLIC_URL", "http://127.0.0.1:4433"), "Ory's public URL ($ORY_PUBLIC_URL)")
	path := flags.String("db", env("NOTES_DB", "notes.db"), "SQLite file ($NOTES_DB)")
	admin := flags.String("ory-admin", env("ORY_ADMIN_URL", ""), "Ory's admin URL ($ORY_ADMIN_URL); optional")
	hooks := flags.Bool("hooks", env("NOTES_HOOKS", "") != "", "answer Ory's hooks below /hooks/ ($NOTES_HOOKS); needs $SYMBOLON_SECRET")
	printHooks := flags.Bool("print-hooks", false, "print what kratos.yml needs to call the hooks here, and end; needs $SYMBOLON_SECRET")
	recovery := flags.Bool("recovery", env("NOTES_RECOVERY", "") != "", "offer to recover a forgotten password ($NOTES_RECOVERY)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	secrets, err := secretsOf(getenv("SYMBOLON_SECRET"))
	if err != nil {
		return err
	}
	app := &notes.App{URL: *url, Ory: *ory, OryAdmin: *admin, Secrets: secrets, Hooks: *hooks, Recovery: *recovery, Log: log}
	if *printHooks {
		return app.WriteActions(stdout)
	}

	if app.DB, err = notes.Open(ctx, *path); err != nil {
		return err
	}
	defer app.DB.Close()
	handler, err := app.Handler()
	if err != nil {
		return err
	}
	defer func() {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := app.Close(bounded); err != nil {
			log.Warn("stopped before everything was written", "error", err)
		}
	}()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	log.Info("notes is up", "url", *url, "ory", *ory)
	return serve(ctx, listener, handler)
}

// secretsOf returns the secret of the installation of Symbolon, or nothing.
func secretsOf(text string) ([]symbolon.Secret, error) {
	if text == "" {
		return nil, nil
	}
	secret, err := symbolon.ParseSecret(text)
	if err != nil {
		return nil, fmt.Errorf("SYMBOLON_SECRET: %w", err)
	}
	return []symbolon.Secret{secret}, nil
}

// serve runs until ctx ends. Then it lets running requests finish.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	bounded, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(bounded); err != nil {
		return fmt.Errorf("shut down: %w", err)
	}
	return nil
}
