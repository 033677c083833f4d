package child

import (
	"os"
	"os/exec"
	"syscall"
)

// There are no process groups, users to change to or pauses here. The package
// compiles so that what imports it does.
const (
	pauseSignal  = syscall.Signal(0)
	resumeSignal = syscall.Signal(0)
)

// As does nothing here.
func As(*exec.Cmd, uint32, uint32) {}

func attributes(attr *syscall.SysProcAttr, _ syscall.Signal) *syscall.SysProcAttr { return attr }

func signalGroup(p *os.Process, sig syscall.Signal) error { return p.Signal(sig) }
