package child

import (
	"os"
	"os/exec"
	"syscall"
)

// Windows has no process groups, no change of the user and no pauses. The package still
// compiles, so that packages that import it compile.
const (
	pauseSignal  = syscall.Signal(0)
	resumeSignal = syscall.Signal(0)
)

// As does nothing here.
func As(*exec.Cmd, uint32, uint32) {}

func attributes(attr *syscall.SysProcAttr, _ syscall.Signal) *syscall.SysProcAttr { return attr }

func signalGroup(p *os.Process, sig syscall.Signal) error { return p.Signal(sig) }
