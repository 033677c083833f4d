// Package child runs programs that must not outlive this one: the databases
// and servers that tests and demos start for themselves.
//
// A child leads its own process group, so that a Ctrl-C in the terminal is
// this program's to handle and a signal to the child reaches what the child
// started as well. On Linux the kernel signals the child when this program
// dies, however it dies.
package child

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"github.com/symbolon-id/symbolon/internal/wait"
)

// A Process is a running child. Its methods may be called at any time, also
// after it ended, and from several goroutines.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // how it ended; to be read after done
}

// Start starts cmd. Should this program die first, the child is sent orphaned
// (on Linux only; elsewhere such a child stays).
//
// Give cmd files, not other writers, as its output: the end of a child is not
// noticed while one of its own children holds the other end of a pipe.
func Start(cmd *exec.Cmd, orphaned syscall.Signal) (*Process, error) {
	p := &Process{cmd: cmd, done: make(chan struct{})}
	cmd.SysProcAttr = attributes(cmd.SysProcAttr, orphaned)
	started := make(chan error, 1)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}

// Run starts cmd and waits for its end. When ctx ends first, cmd and what it
// started are killed.
func Run(ctx context.Context, cmd *exec.Cmd) error {
	p, err := Start(cmd, syscall.SIGKILL)
	if err != nil {
		return err
	}
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		p.Kill()
		return fmt.Errorf("run %s: %w", cmd.Path, context.Cause(ctx))
	}
}

// run keeps one thread to itself for as long as the child lives: Linux takes
// the end of the thread that started a child for the death of its parent.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.cmd.Start(); err != nil {
		started <- err
		return
	}
	started <- nil
	p.err = p.cmd.Wait()
	close(p.done)
}

// Done is closed when the child has ended and been waited for.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running reports whether the child has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Err waits for the end and says how it came: nil for exit code 0, otherwise
// an *exec.ExitError.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// PID is the child's process ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends sig to the child and everything in its process group. It does
// nothing once the child has ended.
func (p *Process) Signal(sig syscall.Signal) error {
	if !p.Running() {
		return nil
	}
	if err := signalGroup(p.cmd.Process, sig); err != nil && p.Running() {
		return fmt.Errorf("signal %s to %s: %w", sig, p.cmd.Path, err)
	}
	return nil
}

// Pause freezes the child and its group until Resume: it keeps its ports and
// answers nothing, which is what a hanging server looks like.
func (p *Process) Pause() error {
	if pauseSignal == 0 {
		return fmt.Errorf("pause %s: %w", p.cmd.Path, errors.ErrUnsupported)
	}
	if err := p.Signal(pauseSignal); err != nil {
		return err
	}
	if err := waitPaused(p.cmd.Process); err != nil {
		return fmt.Errorf("pause %s: %w", p.cmd.Path, err)
	}
	return nil
}

// Resume ends a Pause.
func (p *Process) Resume() error {
	if resumeSignal == 0 {
		return fmt.Errorf("resume %s: %w", p.cmd.Path, errors.ErrUnsupported)
	}
	return p.Signal(resumeSignal)
}

// Stop asks the child to end with sig, kills it when it has not after
// patience, and returns once it is gone.
func (p *Process) Stop(sig syscall.Signal, patience time.Duration) {
	if p.Signal(sig) == nil {
		_ = p.Resume() // a frozen process would never see the request
		if wait.Until(p.done, patience) {
			return
		}
	}
	p.Kill()
}

// Kill ends the child and its group at once and returns when it is gone.
func (p *Process) Kill() {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		_ = p.cmd.Process.Signal(os.Kill)
	}
	<-p.done
}
