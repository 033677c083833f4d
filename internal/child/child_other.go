//go:build !linux

package child

import (
	"os"
	"syscall"
)

// setOrphaned does nothing: only Linux tells a child that its parent died.
func setOrphaned(*syscall.SysProcAttr, syscall.Signal) {}

// waitPaused does not wait: a request that comes at once may be answered.
func waitPaused(*os.Process) error { return nil }
