package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon/adopt"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
)

// planFile is a plan that is being written. The file gets its name once it is complete, so
// that half a plan is never applied.
type planFile struct {
	*adopt.Writer
	file *os.File // nil for the standard output
	name string
}

// begin begins a plan of --plan.
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
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*") // only its owner may read it, because it names people with accounts
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
		return fmt.Errorf("write the plan: %w", err)
	}
	return nil
}

// discard removes the file unless it got its name: half a plan must not be applied.
func (f *planFile) discard() {
	if f.file != nil {
		_ = f.file.Close()
		_ = os.Remove(f.file.Name())
	}
}

// adoptProgress shows how far a run is.
func adoptProgress(line *cli.Progress) func(adopt.Progress) {
	return func(s adopt.Progress) {
		rate := float64(s.Done) / max(s.Elapsed.Seconds(), 0.001)
		text := fmt.Sprintf("%d, %.0f/s", s.Done, rate)
		if s.Of > 0 {
			left := time.Duration(float64(s.Of-s.Done) / max(rate, 0.001) * float64(time.Second))
			text = fmt.Sprintf("%d of %d, %.0f/s, about %s left", s.Done, s.Of, rate, left.Round(time.Second))
		}
		line.Show(string(s.Phase), s.Elapsed, text)
	}
}
