package link

import (
	"context"
	"errors"
	"time"

	"github.com/symbolon-id/symbolon"
)

const (
	// maxHolders is how many readings of other identities one write may ask Ory for. A
	// longer ring or chain stays a finding.
	maxHolders = 16

	// holdersTimeout limits all these readings for a person who waits. In the background
	// the patience of the work is added.
	holdersTimeout = 5 * time.Second
)

// writeAsking is Store.Write. If rows of other identities hold values of this one, it reads
// these identities at Ory, outside of every transaction, and writes again with the readings.
// If Ory does not answer for a holder, nothing is taken from the holder's row.
func (l *Linker) writeAsking(ctx context.Context, q symbolon.Query, decide func(symbolon.Evidence) (symbolon.Plan, error)) (symbolon.Outcome, error) {
	q.AskHolders = l.Ory.HasAdmin()
	out, err := l.Store.Write(ctx, q, decide)
	taken, ok := errors.AsType[*symbolon.TakenError](err)
	if !ok {
		return out, err
	}
	asking, end := context.WithTimeout(ctx, holdersLimit(ctx))
	defer end()
	asked := map[symbolon.IdentityID]int{}
	for left := maxHolders; ok && q.AskHolders; {
		n := l.readHolders(asking, &q, taken.Holders[:min(left, len(taken.Holders))], asked)
		left -= n
		q.AskHolders = n > 0
		out, err = l.Store.Write(ctx, q, decide)
		taken, ok = errors.AsType[*symbolon.TakenError](err)
	}
	for _, r := range q.Others {
		if r.Identity.State == symbolon.Inactive {
			l.watchers.notify(r.Identity.ID)
		}
	}
	return out, err
}

func holdersLimit(ctx context.Context) time.Duration {
	patience, _ := symbolon.PatienceFrom(ctx)
	return holdersTimeout + patience.For
}

// readHolders reads holders at Ory and adds the readings to q.Others. It reads each holder
// at most twice: again if a newer reading than the first was written meanwhile. It returns
// how many it has read.
func (l *Linker) readHolders(ctx context.Context, q *symbolon.Query, holders []symbolon.IdentityID, asked map[symbolon.IdentityID]int) (n int) {
	for _, id := range holders {
		if asked[id]++; asked[id] > 2 {
			continue
		}
		r, err := l.read(ctx, id, q.Reading.Source)
		if err != nil {
			l.log().Info("whether an identity still has a value is not known", "identity", id, "error", err)
			continue
		}
		n++
		q.Others = append(q.Others, r) // of two readings of an identity the last one counts
	}
	return n
}
