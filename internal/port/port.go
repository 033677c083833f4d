// Package port finds ports for the servers that tests and demos start as programs of
// their own, which have to be told one.
package port

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// The ports lie below those that the system gives to outgoing connections, which would
// take one away before its server listens.
const (
	first = 20_000
	count = 12_000
)

var held struct {
	sync.Mutex
	by []net.PacketConn // the collector would close them
}

// Free returns a port of 127.0.0.1 on which nobody listens. As long as this process
// lives Free gives it to nobody else, whichever process asks: not before its server
// listens, nor while it is stopped. Safe for concurrent use.
func Free() (int, error) {
	var last error
	for range 100 {
		port := first + rand.IntN(count) //nolint:gosec // nobody gains by guessing it
		if last = hold(port); last == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("find a free port: %w", last)
}

// hold takes the UDP port of the same number for a sign: no server here wants that one,
// it keeps nobody from listening, and it goes with the process.
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
