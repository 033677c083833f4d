package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon/internal/wait"
)

// terminal prints the demo's output: with colours and a moving line on a terminal, as plain text otherwise. Its methods may be called by
// several goroutines at once.
type terminal struct {
	w   io.Writer
	tty bool
	mu  sync.Mutex
}

func newTerminal(w io.Writer) *terminal {
	t := &terminal{w: w}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		t.tty = err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}
	return t
}

// The styles are SGR codes. User IDs and identity IDs have different styles, so that the reader finds the same ID again.
const (
	bold     = "1"
	dim      = "2"
	good     = "32"
	user     = "1;32"
	identity = "1;36"
	plain    = ""
)

func (t *terminal) styled(style, text string) string {
	if !t.tty || style == plain || text == "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

func (t *terminal) print(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = fmt.Fprintf(t.w, format, args...)
}

func (t *terminal) title(text string) { t.print("\n%s\n\n", t.styled(bold, text)) }
func (t *terminal) note(text string)  { t.print("\n%s\n", text) }

// step begins a part of the journey and prints its title and purpose.
func (t *terminal) step(n int, title, about string) {
	t.print("\n%s\n   %s\n", t.styled(bold, fmt.Sprintf("%d  %s", n, title)), t.styled(dim, about))
}

// event begins the output of a hook or a request.
func (t *terminal) event(text string) {
	t.print("\n%s  %s\n", t.styled(dim, time.Now().Format(time.TimeOnly)), t.styled(bold, text))
}

// row prints one value with its place and a note of at most 24 characters, so that the line has at most 80.
func (t *terminal) row(label, style, value, note string) {
	padded := fmt.Sprintf("%-36s", value) // an ID has 36 characters
	line := fmt.Sprintf("   %-13s %s  %s", label, t.styled(style, padded), t.styled(dim, note))
	t.print("%s\n", strings.TrimRight(line, " "))
}

// work runs a piece of work and prints its result. After a second it prints what runs, with a hint if there is one, and then the elapsed
// time.
func (t *terminal) work(label, doing, hint string, f func() (came string, err error)) error {
	done, shown := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(shown)
		text := fmt.Sprintf("  %s %-11s %s\n", t.styled(dim, "·"), label, doing)
		for line := range strings.Lines(hint) {
			text += fmt.Sprintf("    %-11s %s\n", "", t.styled(dim, strings.TrimSpace(line)))
		}
		t.progress(done, text)
	}()
	came, err := f()
	close(done)
	<-shown
	if err == nil {
		t.print("  %s %-11s %s\n", t.styled(good, "✓"), label, came)
	}
	return err
}

func (t *terminal) progress(done <-chan struct{}, text string) {
	begun := time.Now()
	if wait.Until(done, time.Second) {
		return
	}
	t.print("%s", text)
	// On a terminal each time overwrites the one before, and the last one is removed at the end.
	pause, before, after := time.Second, "\r\x1b[K", ""
	if !t.tty {
		pause, before, after = 30*time.Second, "", "\n"
	}
	for !wait.Until(done, pause) {
		took := t.styled(dim, time.Since(begun).Round(time.Second).String())
		t.print("%s    %-11s %s%s", before, "", took, after)
	}
	t.print("%s", before)
}
