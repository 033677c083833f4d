package createurl

import (
	"sync"
	"time"

	"github.com/symbolon-id/symbolon"
)

// denials remembers the last denial of each identity for a while.
type denials struct {
	mu   sync.Mutex
	byID map[symbolon.IdentityID]*denial
}

type denial struct {
	digest [32]byte // of the question's body
	err    error
	expiry *time.Timer
}

// maxDenials limits the remembered denials. Further denials are not remembered.
const maxDenials = 10_000

// of(q) returns the remembered denial of the same request, or nil.
func (d *denials) of(q question) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if was := d.byID[q.identity]; was != nil && was.digest == q.digest {
		return was.err
	}
	return nil
}

func (d *denials) remember(q question, err error, timeout time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if timeout <= 0 || len(d.byID) >= maxDenials {
		return
	}
	if d.byID == nil {
		d.byID = map[symbolon.IdentityID]*denial{}
	}
	is := &denial{digest: q.digest, err: err}
	is.expiry = time.AfterFunc(timeout, func() { d.expire(q.identity, is) })
	d.byID[q.identity] = is
}

func (d *denials) expire(id symbolon.IdentityID, old *denial) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.byID[id] == old {
		delete(d.byID, id)
	}
}

func (d *denials) forget(id symbolon.IdentityID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if was := d.byID[id]; was != nil {
		was.expiry.Stop()
		delete(d.byID, id)
	}
}
