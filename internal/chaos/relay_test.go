package chaos_test

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/internal/chaos"
)

// echo is a server that sends back what it gets, and counts it.
func echo(t *testing.T) (address string, got *atomic.Int64, closed chan struct{}) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	got, closed = new(atomic.Int64), make(chan struct{})
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer close(closed)
		defer conn.Close()
		for b := make([]byte, 1); ; {
			if _, err := conn.Read(b); err != nil {
				return
			}
			got.Add(1)
			_, _ = conn.Write(b)
		}
	}()
	return listener.Addr().String(), got, closed
}

// answered sends a byte and reports whether it comes back within the limit.
func answered(t *testing.T, conn net.Conn, limit time.Duration) (bool, error) {
	t.Helper()
	if _, err := conn.Write([]byte("x")); err != nil {
		return false, err
	}
	_ = conn.SetReadDeadline(time.Now().Add(limit))
	n, err := conn.Read(make([]byte, 1))
	return n == 1, err
}

func TestRelay(t *testing.T) {
	t.Parallel()
	const long = time.Minute
	for name, c := range map[string]struct {
		fault func(*chaos.Relay)
		check func(t *testing.T, conn net.Conn, got *atomic.Int64, closed chan struct{})
	}{
		"none": {func(*chaos.Relay) {}, func(t *testing.T, conn net.Conn, _ *atomic.Int64, _ chan struct{}) {
			if ok, err := answered(t, conn, long); !ok {
				t.Error(err)
			}
		}},
		"silent": {(*chaos.Relay).FallSilent, func(t *testing.T, conn net.Conn, got *atomic.Int64, closed chan struct{}) {
			<-closed // the server's side
			if ok, err := answered(t, conn, 100*time.Millisecond); ok || !isTimeout(err) {
				t.Errorf("answered: %t, %v", ok, err)
			}
			if n := got.Load(); n != 1 {
				t.Errorf("the server got %d bytes", n)
			}
		}},
		"half open": {(*chaos.Relay).HalfOpen, func(t *testing.T, conn net.Conn, got *atomic.Int64, _ chan struct{}) {
			if ok, err := answered(t, conn, 100*time.Millisecond); ok || !isTimeout(err) {
				t.Errorf("answered: %t, %v", ok, err)
			}
			for end := time.Now().Add(long); got.Load() != 2; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("the request does not arrive")
				}
			}
		}},
		"reset": {(*chaos.Relay).Reset, func(t *testing.T, conn net.Conn, _ *atomic.Int64, closed chan struct{}) {
			<-closed
			_ = conn.SetReadDeadline(time.Now().Add(long))
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("read: %v", err)
			}
		}},
		"slow": {func(r *chaos.Relay) { r.Slow(100 * time.Millisecond) }, func(t *testing.T, conn net.Conn, _ *atomic.Int64, _ chan struct{}) {
			began := time.Now()
			if ok, err := answered(t, conn, long); !ok || time.Since(began) < 200*time.Millisecond {
				t.Errorf("answered after %v: %t, %v", time.Since(began), ok, err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to, got, closed := echo(t)
			relay := chaos.NewRelay(t, to)
			conn, err := net.Dial("tcp", relay.Address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if ok, err := answered(t, conn, long); !ok {
				t.Fatal(err)
			}
			c.fault(relay)
			c.check(t, conn, got, closed)
		})
	}
}

// TestRelayDrops checks that new connections get no answer, and that later ones do.
func TestRelayDrops(t *testing.T) {
	t.Parallel()
	to, _, _ := echo(t)
	relay := chaos.NewRelay(t, to)
	for _, dropped := range []bool{true, false} {
		relay.Drop(dropped)
		conn, err := net.Dial("tcp", relay.Address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		limit := time.Minute
		if dropped {
			limit = 100 * time.Millisecond
		}
		if ok, err := answered(t, conn, limit); ok == dropped || errors.Is(err, io.EOF) {
			t.Errorf("dropped %t: answered %t, %v", dropped, ok, err)
		}
	}
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}
