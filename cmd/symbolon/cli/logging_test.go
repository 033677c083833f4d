package cli

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
)

func TestLogLevels(t *testing.T) {
	for _, test := range []struct {
		flag, env string
		want      slog.Level
	}{{"", "", slog.LevelInfo}, {"debug", "error", slog.LevelDebug}, {"", "warn", slog.LevelWarn}, {"error", "", slog.LevelError}} {
		if got, err := LogLevel(test.flag, cmdtest.Env("SYMBOLON_LOG_LEVEL", test.env)); err != nil || got != test.want {
			t.Errorf("%+v: %v %v", test, got, err)
		}
	}
	if NewLogger(&strings.Builder{}, slog.LevelInfo).Enabled(context.Background(), slog.LevelDebug) {
		t.Error("debug at info")
	}
}
