package chaos

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Relay is a TCP relay in front of a server. Its connections can fall silent: they stay
// open, and nothing is forwarded any more, as if the machine behind them had vanished.
type Relay struct {
	Address string

	delay atomic.Int64 // before each piece is forwarded

	mu      sync.Mutex
	open    map[*connection]bool
	dropped bool // new connections are silent from the start
}

// connection is one connection through a relay. Each channel is closed when its fault
// begins.
type connection struct {
	silent, mute, reset chan struct{}
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
	r := &Relay{Address: listener.Addr().String(), open: map[*connection]bool{}}
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

// FallSilent silences all current connections. New connections are forwarded. The server
// sees the end of its connections.
func (r *Relay) FallSilent() { r.each(func(c *connection) chan struct{} { return c.silent }) }

// HalfOpen loses the answers on all current connections. The server still gets and executes
// requests, and its connections stay open.
func (r *Relay) HalfOpen() { r.each(func(c *connection) chan struct{} { return c.mute }) }

// Reset breaks all current connections on both sides.
func (r *Relay) Reset() { r.each(func(c *connection) chan struct{} { return c.reset }) }

// Drop makes new connections silent from the start, or forwards them again.
func (r *Relay) Drop(yes bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropped = yes
}

// Slow delays everything that is forwarded, in both directions. 0 ends it.
func (r *Relay) Slow(delay time.Duration) { r.delay.Store(int64(delay)) }

// each begins a fault on all current connections, unless it has begun.
func (r *Relay) each(fault func(*connection) chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.open {
		if begins := fault(c); !over(begins) {
			close(begins)
		}
	}
}

func over(begun <-chan struct{}) bool {
	select {
	case <-begun:
		return true
	default:
		return false
	}
}

// begin registers a connection. It returns nil if new connections are silent.
func (r *Relay) begin() *connection {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dropped {
		return nil
	}
	c := &connection{make(chan struct{}), make(chan struct{}), make(chan struct{})}
	r.open[c] = true
	return c
}

func (r *Relay) end(c *connection) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, c)
}

func (r *Relay) serve(client net.Conn, to string, ended <-chan struct{}) {
	defer client.Close()
	c := r.begin()
	if c == nil {
		<-ended
		return
	}
	defer r.end(c)
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer server.Close()
	closed := make(chan struct{}, 2)
	var copies sync.WaitGroup
	defer copies.Wait()
	copies.Go(func() { r.forward(server, client, closed, c.silent, nil) })
	copies.Go(func() { r.forward(client, server, closed, c.silent, c.mute) })
	select {
	case <-closed:
	case <-c.silent:
		_ = server.Close() // what was sent is lost
		select {
		case <-ended:
		case <-c.reset:
		}
	case <-c.reset:
	case <-ended:
	}
	if over(c.reset) {
		for _, conn := range []net.Conn{client, server} {
			_ = conn.(*net.TCPConn).SetLinger(0) // closing then resets
		}
	}
	_ = client.Close()
	_ = server.Close()
}

// forward copies until one end closes its side. When one of the channels lost and muted is
// closed, it drops the bytes that arrive.
func (r *Relay) forward(to, from net.Conn, closed chan<- struct{}, lost, muted <-chan struct{}) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err == nil {
			time.Sleep(time.Duration(r.delay.Load()))
		}
		switch {
		case over(lost), muted != nil && over(muted):
			if err != nil && over(lost) {
				return
			}
			if err == nil {
				continue
			}
		case n > 0:
			if _, err := to.Write(buffer[:n]); err != nil {
				closed <- struct{}{}
				return
			}
		}
		if err != nil {
			closed <- struct{}{}
			return
		}
	}
}
