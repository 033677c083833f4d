package work

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// The names of the tasks of this package.
const (
	Look          = "look"           // re-read an identity at Ory, and converge
	BackReference = "back_reference" // write a user's ID into its identity
)

// patience is how long a job waits for Ory's rate limit; see symbolon.Background.
const patience = 5 * time.Second

// Own are the tasks that follow hints and write back-references. Hints have the higher
// priority, because nothing depends on a back-reference.
func Own(l *link.Linker, log *slog.Logger) []Task {
	b := &backReferences{linker: l, log: log}
	return []Task{
		{Name: Look, Do: looker(l), Asks: true, Priority: 2},
		{Name: BackReference, Do: b.do, GaveUp: b.gaveUp, Asks: true, Priority: 3},
	}
}

// Hint keeps a hint until it is followed. It is for hooks.Handler.Queue.
func (q *Queue) Hint(ctx context.Context, id symbolon.IdentityID, source symbolon.Source) error {
	return q.Put(ctx, Look, string(id), string(source))
}

func looker(l *link.Linker) func(context.Context, Job) error {
	return func(ctx context.Context, job Job) error {
		_, err := l.Refresh(symbolon.Background(ctx, patience), symbolon.IdentityID(job.Key), symbolon.Source(job.Note))
		if errors.Is(err, symbolon.ErrNotFound) || errors.As(err, new(*symbolon.DenyError)) {
			return nil // the answer is final
		}
		return err
	}
}

// OnLink puts the job for the back-reference of a new link into the transaction of the link.
// It is for sqlstore.Store.OnLink, with link.Linker.QueuedWrites.
func (q *Queue) OnLink(l *link.Linker) func(context.Context, *sqlstore.Tx, symbolon.Link) error {
	return func(ctx context.Context, tx *sqlstore.Tx, link symbolon.Link) error {
		seen, ok := symbolon.ReadingFrom(ctx)
		if !ok || seen.Identity.ID != link.Identity || !l.WantsBackReference(seen, link) {
			return nil
		}
		return q.PutTx(ctx, tx.SQL(), BackReference, string(link.Identity), seen.Identity.CreatedAt.UTC().Format(time.RFC3339Nano))
	}
}

// backReferences writes the back-references that Linker.WantsBackReference asks for. In the
// identity's first minute it writes at once. After the first minute it writes only with
// WriteRepair: it tries for a day, and writes when nobody has touched the identity for ten
// minutes.
type backReferences struct {
	linker *link.Linker
	log    *slog.Logger
}

func (b *backReferences) do(ctx context.Context, job Job) error {
	ctx, id := symbolon.Background(ctx, patience), symbolon.IdentityID(job.Key)
	created, err := time.Parse(time.RFC3339Nano, job.Note)
	if err == nil && b.now().Sub(created) < time.Minute {
		wrote, err := b.linker.WriteBackReference(ctx, id)
		if err != nil || wrote != link.TooLate {
			return err
		}
	}
	if b.linker.BackReference.Write != link.WriteRepair {
		b.log.Info("back-reference not written: the identity's first minute is over", "identity", id)
		return nil
	}
	wrote, err := b.linker.RepairBackReference(ctx, id)
	if err == nil && wrote == link.TooSoon {
		return Again(11 * time.Minute)
	}
	return err
}

// gaveUp is called after a day. Only a job with WriteRepair is tried for so long.
func (b *backReferences) gaveUp(ctx context.Context, job Job, _ error) {
	if err := b.linker.MissBackReference(ctx, symbolon.IdentityID(job.Key)); err != nil {
		b.log.Warn("finding could not be recorded", "kind", symbolon.MissingBackReference, "identity", job.Key, "error", err)
	}
}

func (b *backReferences) now() time.Time {
	if b.linker.Now != nil {
		return b.linker.Now()
	}
	return time.Now()
}
