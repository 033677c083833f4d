package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// terminal is where the demo tells what happens: in colour and with a moving line on a terminal, plainly anywhere else. Its methods
// may be called by several goroutines at once.
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

// The styles are SGR codes. A user's ID and an identity's look different, so that the eye finds the same one again.
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

// step begins one part of the journey.
func (t *terminal) step(n int, text string) {
	t.print("\n%s\n", t.styled(bold, fmt.Sprintf("%d  %s", n, text)))
}

// event begins what a hook or a request brought.
func (t *terminal) event(text string) {
	t.print("\n%s  %s\n", t.styled(dim, time.Now().Format(time.TimeOnly)), t.styled(bold, text))
}

// row shows one value of somebody: where it is, what it is, and what is to be said of it.
func (t *terminal) row(label, style, value, note string) {
	width := max(36, len([]rune(value))) // of an ID
	line := fmt.Sprintf("   %-15s %s  %s", label, t.styled(style, pad(value, width)), t.styled(dim, note))
	t.print("%s\n", strings.TrimRight(line, " "))
}

func pad(s string, width int) string { return s + strings.Repeat(" ", max(0, width-len([]rune(s)))) }

// work shows that something is going on and how long it has, and at the end what came of it. What takes no second needs no words.
func (t *terminal) work(label, doing string, f func() (came string, err error)) error {
	done, shown := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(shown)
		t.progress(done, fmt.Sprintf("  %s %-11s %s", t.styled(dim, "·"), label, doing))
	}()
	came, err := f()
	close(done)
	<-shown
	if err == nil {
		t.print("  %s %-11s %s\n", t.styled(good, "✓"), label, came)
	}
	return err
}

func (t *terminal) progress(done <-chan struct{}, line string) {
	begun, pause := time.Now(), time.Second
	for first := true; ; first = false {
		select {
		case <-done:
			if t.tty {
				t.print("\r\x1b[K")
			}
			return
		case <-time.After(pause):
		}
		took := time.Since(begun).Round(time.Second)
		switch {
		case t.tty:
			t.print("\r\x1b[K%s %s", line, t.styled(dim, took.String()))
		case first:
			t.print("%s\n", line)
			pause = 30 * time.Second
		default:
			t.print("%s, %s\n", line, took)
		}
	}
}
