package e2e

import (
	"net"
	"sync"
	"testing"
)

// Relay is a TCP relay in front of a server. Its connections can fall silent: they stay
// open, and nothing is forwarded any more, as if the machine behind them had vanished.
type Relay struct {
	Address string

	mu      sync.Mutex
	silent  chan struct{} // closed when the current connections fall silent
	dropped bool          // new connections are silent from the start
}

// NewRelay starts a relay to an address. It ends with the test.
func NewRelay(t testing.TB, to string) *Relay {
	t.Helper()
	return NewRelayAt(t, "127.0.0.1:0", to)
}

// NewRelayAt is NewRelay at an address that the caller has chosen.
func NewRelayAt(t testing.TB, address, to string) *Relay {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	r := &Relay{Address: listener.Addr().String(), silent: make(chan struct{})}
	var all sync.WaitGroup
	ended := make(chan struct{})
	t.Cleanup(func() { _ = listener.Close(); close(ended); all.Wait() })
	all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { r.serve(client, to, ended) })
		}
	})
	return r
}

// FallSilent silences all current connections. New connections are forwarded.
func (r *Relay) FallSilent() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.silent)
	r.silent = make(chan struct{})
}

// Drop makes new connections silent from the start, or forwards them again.
func (r *Relay) Drop(yes bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropped = yes
}

func (r *Relay) serve(client net.Conn, to string, ended <-chan struct{}) {
	defer client.Close()
	r.mu.Lock()
	silent, dropped := r.silent, r.dropped
	r.mu.Unlock()
	if dropped {
		<-ended
		return
	}
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer server.Close()
	over := make(chan struct{}, 2)
	var copies sync.WaitGroup
	defer copies.Wait()
	copies.Go(func() { forward(server, client, silent, over) })
	copies.Go(func() { forward(client, server, silent, over) })
	select {
	case <-over:
	case <-silent:
		_ = server.Close() // what was sent is lost
		<-ended
	case <-ended:
	}
	_ = client.Close()
	_ = server.Close()
}

// forward copies until one end closes its side. Bytes that arrive during the silence are
// lost.
func forward(to, from net.Conn, silent <-chan struct{}, over chan<- struct{}) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		select {
		case <-silent:
			if err != nil {
				return
			}
			continue
		default:
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	over <- struct{}{}
}
