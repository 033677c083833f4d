package main

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"
)

// upThen calls a function when the program logs that it is running.
type upThen func()

func (f upThen) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "notes is up") {
		f()
	}
	return len(p), nil
}

func TestRunStopsWhenTold(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	args := []string{"-listen", "127.0.0.1:0", "-db", t.TempDir() + "/notes.db"}
	if err := run(ctx, args, func(string) string { return "" }, io.Discard, upThen(stop)); err != nil {
		t.Fatal(err)
	}
}

func TestRunSaysWhatIsWrong(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		env  map[string]string
		says string
	}{
		"an unknown flag": {[]string{"-x"}, nil, "-x"},
		"no URL":          {nil, map[string]string{"ORY_PUBLIC_URL": "ory"}, `Ory must be an http(s) URL, not "ory"`},
		"a short secret":  {nil, map[string]string{"SYMBOLON_SECRET": "short"}, "SYMBOLON_SECRET: a secret needs at least 32 bytes"},
		"no secret":       {[]string{"-hooks"}, nil, "keys"},
		"a taken address": {[]string{"-listen", "256.0.0.1:1"}, nil, "listen"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"-db", t.TempDir() + "/notes.db"}, tt.args...)
			err := run(t.Context(), args, func(key string) string { return tt.env[key] }, io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("the error is %v, want %q", err, tt.says)
			}
		})
	}
}

func TestPrintHooks(t *testing.T) {
	var out strings.Builder
	env := map[string]string{"SYMBOLON_SECRET": "k2J8vQ0zR5tXw9LmB4nYc7HdF1sGpA6e", "NOTES_URL": "http://127.0.0.1:4466"}
	if err := run(t.Context(), []string{"-print-hooks"}, func(key string) string { return env[key] }, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"http://127.0.0.1:4466/hooks/reserve", "http://127.0.0.1:4466/hooks/link", "http://127.0.0.1:4466/hooks/sync"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, out.String())
		}
	}
}
