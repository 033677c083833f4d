package main

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"
)

func TestRunStopsWhenTold(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer stop()
	args := []string{"-listen", "127.0.0.1:0", "-db", t.TempDir() + "/notes.db"}
	if err := run(ctx, args, func(string) string { return "" }, io.Discard); err != nil {
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
		"a taken address": {[]string{"-listen", "256.0.0.1:1"}, nil, "listen"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"-db", t.TempDir() + "/notes.db"}, tt.args...)
			err := run(t.Context(), args, func(key string) string { return tt.env[key] }, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("it says %v, want %q", err, tt.says)
			}
		})
	}
}
