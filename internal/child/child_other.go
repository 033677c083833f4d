//go:build !linux

package child

import "syscall"

// setOrphaned does nothing: only Linux tells a child that its parent died.
func setOrphaned(*syscall.SysProcAttr, syscall.Signal) {}
