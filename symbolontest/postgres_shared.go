package symbolontest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// shared is what the tests of one binary share, started by the first that
// asks and stopped by Main.
var shared struct {
	mu       sync.Mutex
	running  bool // Main is
	postgres *Postgres
	err      error
}

// SharedPostgres returns the one cluster of this test binary; the first test
// that asks starts it, [Main] stops it. Take a [Postgres.NewDatabase] of it,
// and do not stop it: other tests may be using it.
func SharedPostgres(t testing.TB) *Postgres {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if !shared.running {
		t.Fatal("symbolontest: SharedPostgres needs somebody who stops it:" +
			" add func TestMain(m *testing.M) { symbolontest.Main(m) }")
	}
	if shared.postgres == nil && shared.err == nil {
		shared.postgres, shared.err = LaunchPostgres(context.WithoutCancel(t.Context()))
	}
	if shared.err != nil {
		t.Fatalf("symbolontest: %v", shared.err)
	}
	return shared.postgres
}

// Main runs the tests of a binary, stops what they shared, fails the run when
// goroutines are left, and exits. Call it from TestMain.
func Main(m *testing.M, ignore ...goleak.Option) {
	shared.mu.Lock()
	shared.running = true
	shared.mu.Unlock()

	code := m.Run()

	shared.mu.Lock()
	shared.running = false
	if shared.postgres != nil {
		shared.postgres.Close()
	}
	shared.mu.Unlock()
	if code == 0 {
		if err := goleak.Find(ignore...); err != nil {
			fmt.Fprintln(os.Stderr, "symbolontest: the tests passed and left goroutines:", err)
			code = 1
		}
	}
	os.Exit(code)
}
