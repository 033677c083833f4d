package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon/adopt"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
)

// planFile is a plan on its way into a file. It gets its name when it is whole, so that
// half a plan is never applied.
type planFile struct {
	*adopt.Writer
	file *os.File // nil: the standard output
	name string
}

// open begins the plans that were asked for.
func (c adoptCmd) open(a *cli.App) ([]*planFile, error) {
	var files []*planFile
	for _, name := range c.Plan {
		f, err := c.begin(a, name)
		if err != nil {
			for _, other := range files {
				other.discard()
			}
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

func (c adoptCmd) begin(a *cli.App, name string) (*planFile, error) {
	if name == "-" {
		format := adopt.CSV
		if c.JSON {
			format = adopt.JSON
		}
		return &planFile{Writer: adopt.NewWriter(a.Out, format)}, nil
	}
	format := adopt.Format(strings.TrimPrefix(filepath.Ext(name), "."))
	if format != adopt.CSV && format != adopt.JSON {
		return nil, cli.Usage(fmt.Errorf("--plan %s: its name must end with .csv or .json", cli.Plain(name)))
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*") // for its owner only: it says who has an account
	if err != nil {
		return nil, fmt.Errorf("write the plan: %w", err)
	}
	return &planFile{Writer: adopt.NewWriter(f, format), file: f, name: name}, nil
}

func (f *planFile) finish() error {
	err := f.Close()
	if f.file == nil {
		return err
	}
	if err = errors.Join(err, f.file.Sync(), f.file.Close()); err == nil {
		err = os.Rename(f.file.Name(), f.name)
	}
	if err != nil {
		_ = os.Remove(f.file.Name())
		return fmt.Errorf("write the plan: %w", err)
	}
	return nil
}

func (f *planFile) discard() {
	if f.file != nil {
		_ = f.file.Close()
		_ = os.Remove(f.file.Name())
	}
}

// stepLine tells how far it is: one line that changes on a terminal, and a line every
// ten seconds elsewhere.
type stepLine struct {
	out  io.Writer
	live bool
	next time.Duration
	last adopt.Phase
}

func (p *stepLine) show(s adopt.Progress) {
	if s.Phase != p.last {
		p.last, p.next = s.Phase, 10*time.Second
	}
	rate := float64(s.Done) / max(s.Elapsed.Seconds(), 0.001)
	text := fmt.Sprintf("%s: %d, %.0f/s", s.Phase, s.Done, rate)
	if s.Of > 0 {
		left := time.Duration(float64(s.Of-s.Done) / max(rate, 0.001) * float64(time.Second))
		text = fmt.Sprintf("%s: %d of %d, %.0f/s, about %s left", s.Phase, s.Done, s.Of, rate, left.Round(time.Second))
	}
	if p.live {
		_, _ = fmt.Fprintf(p.out, "\r\x1b[K%s", text)
		return
	}
	if s.Elapsed >= p.next {
		_, _ = fmt.Fprintf(p.out, "symbolon: %s\n", text)
		p.next = s.Elapsed + 10*time.Second
	}
}

func (p *stepLine) end() {
	if p.live {
		_, _ = fmt.Fprint(p.out, "\r\x1b[K")
	}
}
