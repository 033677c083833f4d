// Package child runs programs that must not outlive this one: the databases and servers
// of tests and demos.
//
// A child leads its own process group. A Ctrl-C in the terminal therefore does not reach
// it, and a signal to the child also reaches the processes that it started. On Linux the
// kernel signals the child when this program dies for any reason.
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

// A Process is a running child. Its methods may be called from several goroutines, also
// after its end.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // exit error; read it only after done is closed
}

// Start starts cmd. On Linux the child gets the signal orphaned if this program dies
// first. On other systems such a child keeps running.
//
// cmd's output must be files and not other writers. Otherwise the end of the child is not
// noticed while one of its own children has the other end of a pipe open.
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

// Run starts cmd and waits for its end. If ctx ends first, it kills cmd and the processes
// that cmd started.
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

// run keeps one thread as long as the child lives, because Linux treats the end of the
// thread that started a child as the death of the parent.
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

// Done returns a channel that is closed when the child has ended and been waited for.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running reports whether the child is still running.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Err waits for the end. It returns nil for exit code 0, and otherwise an
// *exec.ExitError.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// PID is the child's process ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends sig to the child and to its process group. After the child's end it does
// nothing.
func (p *Process) Signal(sig syscall.Signal) error {
	if !p.Running() {
		return nil
	}
	if err := signalGroup(p.cmd.Process, sig); err != nil && p.Running() {
		return fmt.Errorf("signal %s to %s: %w", sig, p.cmd.Path, err)
	}
	return nil
}

// Pause freezes the child and its group until Resume. The child keeps its ports and
// answers nothing, as a hanging server does.
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

// Stop sends sig to the child, and kills the child if it has not ended within patience. It
// returns when the child has ended.
func (p *Process) Stop(sig syscall.Signal, patience time.Duration) {
	if p.Signal(sig) == nil {
		_ = p.Resume() // a frozen process does not handle signals
		if wait.Until(p.done, patience) {
			return
		}
	}
	p.Kill()
}

// Kill kills the child and its group and returns when they have ended.
func (p *Process) Kill() {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		_ = p.cmd.Process.Signal(os.Kill)
	}
	<-p.done
}
