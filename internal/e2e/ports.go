package e2e

import (
	"net"
	"strconv"
	"testing"

	"github.com/symbolon-id/symbolon/internal/port"
)

// FreePort returns a port of 127.0.0.1. No other caller gets the same port.
func FreePort(t *testing.T) int {
	t.Helper()
	n, err := port.Free()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// FreeAddress returns 127.0.0.1 with a port from FreePort.
func FreeAddress(t *testing.T) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(FreePort(t)))
}
