package authtest

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session"
)

// Gate delays calls of whoami until it is opened.
type Gate struct {
	*http.Transport
	Asked chan struct{} // gets a value for each call of whoami
	open  chan struct{}
}

// NewGate makes a closed gate.
func NewGate(t testing.TB) *Gate {
	g := &Gate{Transport: &http.Transport{}, Asked: make(chan struct{}, 100), open: make(chan struct{})}
	t.Cleanup(g.CloseIdleConnections)
	return g
}

// Before puts the gate between a verifier and its Ory.
func (g *Gate) Before(v *session.Verifier) {
	c := v.Linker.Ory.(*ory.Client)
	v.Ory = &ory.Client{PublicURL: c.PublicURL, AdminURL: c.AdminURL, Timeout: time.Minute, HTTP: &http.Client{Transport: g}}
}

// Open lets everything through from now on.
func (g *Gate) Open() { close(g.open) }

// RoundTrip waits for the gate, or for the end of the request.
func (g *Gate) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/whoami") {
		g.Asked <- struct{}{}
		select {
		case <-g.open:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	return g.Transport.RoundTrip(r)
}
