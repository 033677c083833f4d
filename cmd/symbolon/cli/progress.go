package cli

import (
	"fmt"
	"io"
	"time"
)

// Progress shows how far a command is: one line that changes on a terminal, and a new line
// every ten seconds elsewhere.
type Progress struct {
	Out  io.Writer
	Live bool // Out is a terminal

	phase string
	next  time.Duration
}

// NewProgress returns a Progress that writes to standard error.
func (a *App) NewProgress() *Progress { return &Progress{Out: a.Err, Live: IsTerminal(a.Err)} }

// Show shows a text. Each phase of the command begins at an elapsed time of zero.
func (p *Progress) Show(phase string, elapsed time.Duration, text string) {
	if phase != p.phase {
		p.phase, p.next = phase, 10*time.Second
	}
	switch {
	case p.Live:
		_, _ = fmt.Fprintf(p.Out, "\r\x1b[K%s: %s", phase, text)
	case elapsed >= p.next:
		_, _ = fmt.Fprintf(p.Out, "symbolon: %s: %s\n", phase, text)
		p.next = elapsed + 10*time.Second
	}
}

// End removes the line from a terminal.
func (p *Progress) End() {
	if p.Live {
		_, _ = fmt.Fprint(p.Out, "\r\x1b[K")
	}
}
