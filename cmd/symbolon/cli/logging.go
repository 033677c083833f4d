package cli

import (
	"cmp"
	"errors"
	"io"
	"log/slog"
	"os"
)

// NewLogger logs JSON, one object a line, or text on a terminal.
func NewLogger(w io.Writer, level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if IsTerminal(w) {
		return slog.New(slog.NewTextHandler(w, options))
	}
	options.ReplaceAttr = durationAsText
	return slog.New(slog.NewJSONHandler(w, options))
}

// durationAsText writes 5s, where JSON would have the number of nanoseconds.
func durationAsText(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

var logLevels = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}

// LogLevel is the level of the flag, or else of SYMBOLON_LOG_LEVEL, or else info.
func LogLevel(flag string, env map[string]string) (slog.Level, error) {
	level, ok := logLevels[cmp.Or(flag, env["SYMBOLON_LOG_LEVEL"], "info")]
	if !ok {
		return 0, Usage(errors.New("the log level must be debug, info, warn or error"))
	}
	return level, nil
}

// IsTerminal reports whether w is a terminal.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
