package cli

import (
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
	return slog.New(slog.NewJSONHandler(w, options))
}

// LogLevel is the level of the flag, or else of SYMBOLON_LOG_LEVEL.
func LogLevel(flag string, env map[string]string) (slog.Level, error) {
	text := flag
	if text == "" {
		text = env["SYMBOLON_LOG_LEVEL"]
	}
	switch text {
	case "debug":
		return slog.LevelDebug, nil
	case "info", "":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, Usage(errors.New("the log level must be debug, info, warn or error"))
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
