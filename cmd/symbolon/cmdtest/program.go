package cmdtest

import (
	"database/sql/driver"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"modernc.org/sqlite"
)

// BeTheProgram is set for processes that tests start. The test binary then runs as the
// program.
const BeTheProgram = "SYMBOLON_TEST_IS_THE_PROGRAM"

// DieAtWrite makes a child kill itself at its n-th write to SQLite, right before a row is
// changed or a transaction is committed. -1 only counts the writes and prints their
// number to standard error.
const DieAtWrite = "SYMBOLON_TEST_DIES_AT_WRITE"

// ArmWrites carries out DieAtWrite in the child.
func ArmWrites() {
	at, err := strconv.ParseInt(os.Getenv(DieAtWrite), 10, 64)
	if err != nil {
		return
	}
	var writes atomic.Int64
	count := func() {
		n := writes.Add(1)
		if at < 0 {
			_, _ = fmt.Fprintf(os.Stderr, "write %d\n", n)
		}
		if n == at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			time.Sleep(time.Minute)
		}
	}
	sqlite.RegisterConnectionHook(func(c sqlite.ExecQuerierContext, _ string) error {
		hooks, ok := c.(sqlite.HookRegisterer)
		if !ok {
			return driver.ErrSkip
		}
		hooks.RegisterPreUpdateHook(func(sqlite.SQLitePreUpdateData) { count() })
		hooks.RegisterCommitHook(func() int32 { count(); return 0 })
		return nil
	})
}
