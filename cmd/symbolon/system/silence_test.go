package system

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestImpatient checks how long a read of a silent connection takes before it fails.
func TestImpatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const silence = 8 * time.Second
		var fellSilent atomic.Int64
		open := func() (*impatient, net.Conn) {
			ours, theirs := net.Pipe()
			t.Cleanup(func() { _ = ours.Close(); _ = theirs.Close() })
			c := &impatient{Conn: ours, silence: silence, fellSilent: &fellSilent}
			c.answered.Store(time.Now().UnixNano())
			return c, theirs
		}
		fails := func(what string, c *impatient, want time.Duration) {
			t.Helper()
			began := time.Now()
			_, err := c.Read(make([]byte, 1))
			if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took != want {
				t.Errorf("%s: %v after %v, want %v", what, err, took, want)
			}
		}
		first, _ := open()
		second, _ := open()
		third, peer := open()
		time.Sleep(time.Second)

		_ = first.SetReadDeadline(time.Now().Add(20 * time.Second))
		fails("a deadline of the user", first, 20*time.Second)
		_ = first.SetReadDeadline(time.Time{})
		fails("no other connection is silent", first, silence)
		fails("another connection of the pool fell silent", second, doubt)

		go func() { _, _ = peer.Write([]byte("x")) }()
		time.Sleep(time.Millisecond)
		if _, err := third.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
		fails("it has answered since", third, silence)
		time.Sleep(time.Millisecond)
		last, _ := open()
		fails("opened since", last, silence)
	})
}
