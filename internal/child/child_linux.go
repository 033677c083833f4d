package child

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func setOrphaned(attr *syscall.SysProcAttr, sig syscall.Signal) { attr.Pdeathsig = sig }

// waitPaused returns when every thread has stopped. kill(2) returns earlier, and a thread
// on another processor may still answer a request.
func waitPaused(p *os.Process) error {
	for {
		err := unix.Waitid(unix.P_PID, p.Pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil)
		switch {
		case err == nil, errors.Is(err, unix.ECHILD): // stopped, or ended meanwhile
			return nil
		case !errors.Is(err, unix.EINTR):
			return err
		}
	}
}
