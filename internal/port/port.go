// Package port finds free ports for the servers that tests and demos start.
package port

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// These ports are below the range of outgoing connections. A port in that range could be
// taken before its server listens.
const (
	first = 20_000
	count = 12_000
)

var held struct {
	sync.Mutex
	by []net.PacketConn // kept here, because the garbage collector would close them
}

// Free returns a free port of 127.0.0.1. While this process lives, no other call of Free
// returns the same port, in any process. That also holds before the port's server listens
// and while it is stopped. Safe for concurrent use.
func Free() (int, error) {
	var last error
	for range 100 {
		port := first + rand.IntN(count) //nolint:gosec // not a secret
		if last = hold(port); last == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("find a free port: %w", last)
}

// hold reserves a port by the UDP port of the same number. No server here uses this UDP
// port, it does not prevent TCP listeners, and the system closes it at the end of the
// process.
func hold(port int) error {
	address, config := fmt.Sprintf("127.0.0.1:%d", port), net.ListenConfig{}
	sign, err := config.ListenPacket(context.Background(), "udp", address)
	if err != nil {
		return err
	}
	listener, err := config.Listen(context.Background(), "tcp", address)
	if err != nil {
		return errors.Join(err, sign.Close())
	}
	held.Lock()
	held.by = append(held.by, sign)
	held.Unlock()
	return listener.Close()
}
