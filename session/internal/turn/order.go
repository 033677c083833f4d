package turn

import (
	"net/netip"
	"slices"
	"time"
)

// knownShare is the number of turns that known credentials get for each turn of the others
// while both wait.
const knownShare = 3

// order decides whose turn is next. While known credentials and others wait, the known ones
// get three turns of four. Among the others, the client with the fewest wasted turns in the
// last minutes goes first. A turn is wasted if it brought no session. Clients with the same
// number alternate.
type order struct {
	known   []*Turn
	clients []*client // the clients that wait
	of      map[netip.Addr]*client
	others  int // turns in clients

	// Virtual times. The next turn of a known credential is due at knownAt, and the next
	// turn of another one at othersAt. The earlier turn goes first; if both are due, the
	// known credential goes first. A turn of a known credential adds 1 to knownAt, and
	// another turn adds knownShare to othersAt. at is the time of the last turn.
	knownAt, othersAt, at int64

	wasted wasted
}

// client is an address that waits for turns.
type client struct {
	address netip.Addr
	turns   []*Turn
	wasted  int // its wasted turns, as of the last time that a turn of it was added or given
}

// add puts a turn into the line. If the line is full, add returns the turn that is dropped.
func (o *order) add(now time.Duration, t *Turn) (dropped *Turn) {
	if t.Known {
		if len(o.known) >= maxWaiting {
			return t
		}
		if len(o.known) == 0 {
			o.knownAt = max(o.knownAt, o.at)
		}
		o.known = append(o.known, t)
		return nil
	}
	if o.others == 0 {
		o.othersAt = max(o.othersAt, o.at)
	}
	c := o.of[t.Address]
	if c == nil {
		c = &client{address: t.Address}
		o.clients = append(o.clients, c)
		if o.of == nil {
			o.of = map[netip.Addr]*client{}
		}
		o.of[t.Address] = c
	}
	c.wasted = o.wasted.of(now, t.Address)
	c.turns = append(c.turns, t)
	if o.others++; o.others <= maxWaiting {
		return nil
	}
	return o.dropOne()
}

// dropOne drops the newest turn of the client that waits for the most turns.
func (o *order) dropOne() *Turn {
	longest := slices.MaxFunc(o.clients, func(a, b *client) int { return len(a.turns) - len(b.turns) })
	last := len(longest.turns) - 1
	t := longest.turns[last]
	o.take(longest, last)
	return t
}

// ofOthers reports whether the next turn belongs to a credential that is not known.
func (o *order) ofOthers() bool {
	return o.others > 0 && (len(o.known) == 0 || o.othersAt < o.knownAt)
}

// next returns the turn that is due, and removes it from the line. The line must not be empty.
func (o *order) next(now time.Duration) *Turn {
	if !o.ofOthers() {
		t := o.known[0]
		o.known = slices.Delete(o.known, 0, 1)
		o.at = o.knownAt
		o.knownAt++
		return t
	}
	o.at = o.othersAt
	o.othersAt += knownShare
	c := slices.MinFunc(o.clients, func(a, b *client) int { return a.wasted - b.wasted })
	t := c.turns[0]
	o.take(c, 0)
	if len(c.turns) > 0 { // the client goes to the end of the line
		at := slices.Index(o.clients, c)
		o.clients = append(slices.Delete(o.clients, at, at+1), c)
		c.wasted = o.wasted.of(now, c.address) + 1
	}
	return t
}

// remove takes a turn out of the line. It reports whether the turn was in the line.
func (o *order) remove(t *Turn) bool {
	if t.Known {
		at := slices.Index(o.known, t)
		if at >= 0 {
			o.known = slices.Delete(o.known, at, at+1)
		}
		return at >= 0
	}
	c := o.of[t.Address]
	if c == nil {
		return false
	}
	at := slices.Index(c.turns, t)
	if at >= 0 {
		o.take(c, at)
	}
	return at >= 0
}

// take removes a turn of a client, and the client if it waits for no other turn.
func (o *order) take(c *client, at int) {
	o.others--
	if c.turns = slices.Delete(c.turns, at, at+1); len(c.turns) == 0 {
		at := slices.Index(o.clients, c)
		o.clients = slices.Delete(o.clients, at, at+1)
		delete(o.of, c.address)
	}
}

const (
	// wastedFor is the shortest time for which a wasted turn is remembered, unless there are
	// more than maxAddresses. While the line is in use, the longest time is about twice as
	// long.
	wastedFor = 10 * time.Minute

	// maxAddresses is the largest number of addresses in one generation of wasted (see
	// below). If there are more, turns are forgotten earlier.
	maxAddresses = 8192
)

// wasted counts, for each address, the turns that brought no session. It keeps two
// generations and drops the older one as a whole.
type wasted struct {
	turned     time.Duration
	young, old map[netip.Addr]int
}

func (w *wasted) of(now time.Duration, a netip.Addr) int {
	w.turn(now)
	return max(0, w.young[a]+w.old[a])
}

func (w *wasted) add(now time.Duration, a netip.Addr, n int) {
	w.turn(now)
	if _, there := w.young[a]; !there && len(w.young) >= maxAddresses {
		w.turned, w.old, w.young = now, w.young, nil
	}
	if w.young == nil {
		w.young = map[netip.Addr]int{}
	}
	w.young[a] += n
}

// clear forgets the wasted turns of an address from which a valid credential came.
func (w *wasted) clear(a netip.Addr) {
	delete(w.young, a)
	delete(w.old, a)
}

func (w *wasted) turn(now time.Duration) {
	switch age := now - w.turned; {
	case age >= 2*wastedFor:
		w.turned, w.old, w.young = now, nil, nil
	case age >= wastedFor:
		w.turned, w.old, w.young = now, w.young, nil
	}
}

// Client returns the address that stands for a client when turns are shared. For IPv6 it is
// the /64 network, because one client has all addresses of its network.
func Client(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return a
	}
	return netip.PrefixFrom(a, 64).Masked().Addr()
}
