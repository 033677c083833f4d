package symbolon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Write says what may be written at Ory.
type Write string

const (
	WriteNone    Write = "none"    // nothing at all
	WriteReserve Write = "reserve" // only inside the identity's own insert, by the reserve hook
	WriteCreate  Write = "create"  // and one PATCH right after a link is made for a new identity. The default
)

// BackReference says whether and how the user's ID gets into the identity. The
// zero value is metadata_public.id, written as WriteCreate says.
//
// A PATCH at Ory rewrites the whole identity without a lock: together with an
// administrator's ban or a password change in the same moment it undoes them. So
// one is only ever sent for an identity younger than a minute, never over a value
// that Symbolon did not mint, and never to another path.
type BackReference struct {
	Key   string // one key below metadata_public; "id" by default
	Write Write  // WriteCreate by default

	// ExternalID also sets external_id in the reserve hook: Kratos v25.4 and newer.
	ExternalID bool
}

// WithDefaults returns b with its empty fields filled.
func (b BackReference) WithDefaults() BackReference {
	if b.Key == "" {
		b.Key = "id"
	}
	if b.Write == "" {
		b.Write = WriteCreate
	}
	return b
}

// youth is how long after its creation an identity may be patched: nobody bans a
// person, changes its password or verifies its address in the first minute.
const youth = time.Minute

// backWriter writes back-references at Ory, one at a time: Ory Network allows no
// more in flight, and nobody waits for them. What a crash or a full queue loses
// stays unwritten, which harms nobody: the link does not depend on it.
type backWriter struct {
	linker *Linker
	ctx    context.Context // ends the work that Close gave up on
	cancel context.CancelFunc

	mu      sync.Mutex
	queue   []backJob
	running bool
	closed  bool
	idle    chan struct{} // closed when the worker stops
}

type backJob struct {
	id      IdentityID
	user    UserID
	until   time.Time // the end of the identity's youth
	attempt int
	after   time.Time // not before
}

// maxBackJobs bounds the queue: ten minutes of sign-ups at the speed of a PATCH.
const maxBackJobs = 10_000

func newBackWriter(l *Linker) *backWriter {
	ctx, cancel := context.WithCancel(context.Background())
	return &backWriter{linker: l, ctx: ctx, cancel: cancel}
}

// offer queues the back-reference of a new bond where the policy wants one.
func (w *backWriter) offer(seen Identity, link Link) {
	b := w.linker.BackReference.WithDefaults()
	if b.Write != WriteCreate || !w.linker.Ory.HasAdmin() || link.State != Linked || !young(seen, w.linker.now()) {
		return
	}
	if metadataClaim(seen.MetadataPublic, b.Key).present() {
		return // ours already, or somebody else's: never overwritten
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.queue) >= maxBackJobs {
		w.linker.log().Warn("back-reference not written: too many are waiting", "identity", link.Identity)
		return
	}
	w.queue = append(w.queue, backJob{id: link.Identity, user: link.User, until: seen.CreatedAt.Add(youth)})
	if !w.running {
		w.running, w.idle = true, make(chan struct{})
		go w.work()
	}
}

func young(i Identity, now time.Time) bool {
	age := now.Sub(i.CreatedAt)
	return age < youth && age > -youth
}

// work empties the queue and stops. Jobs that have to wait go to its end.
func (w *backWriter) work() {
	defer close(w.idle)
	for {
		job, ok := w.take()
		if !ok {
			return
		}
		if !w.sleepUntil(job.after) {
			return
		}
		w.attempt(job)
	}
}

func (w *backWriter) take() (backJob, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 || w.ctx.Err() != nil {
		w.running = false
		return backJob{}, false
	}
	job := w.queue[0]
	w.queue = w.queue[1:]
	return job, true
}

func (w *backWriter) sleepUntil(at time.Time) bool {
	d := at.Sub(w.linker.now())
	if d <= 0 {
		return true
	}
	t := time.NewTimer(min(d, youth))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-w.ctx.Done():
		w.mu.Lock()
		w.running = false
		w.mu.Unlock()
		return false
	}
}

func (w *backWriter) attempt(job backJob) {
	log := w.linker.log().With("identity", job.id, "user", job.user)
	err := w.write(job)
	if err == nil || errors.Is(err, ErrNotFound) {
		return // written, or the identity is gone
	}
	job.attempt++
	job.after = w.linker.now().Add(time.Second << min(job.attempt, 4))
	if w.ctx.Err() != nil || job.after.After(job.until) {
		log.Warn("back-reference not written", "error", err)
		return
	}
	log.Info("back-reference will be tried again", "error", err)
	w.mu.Lock()
	w.queue = append(w.queue, job)
	w.mu.Unlock()
}

// write reads the identity once more, patches it if nothing stands there yet, and
// reads it back: an answer to a PATCH proves nothing.
func (w *backWriter) write(job backJob) error {
	l, key := w.linker, w.linker.BackReference.WithDefaults().Key
	ctx, cancel := context.WithTimeout(w.ctx, 10*time.Second)
	defer cancel()
	before, err := l.Ory.Identity(ctx, job.id)
	if err != nil {
		return fmt.Errorf("read before writing: %w", err)
	}
	c := metadataClaim(before.MetadataPublic, key)
	if c.present() || !young(before, l.now()) {
		return w.confirm(ctx, job, c)
	}
	if _, err := l.Ory.AddPublicMetadata(ctx, job.id, key, string(job.user)); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	after, err := l.Ory.Identity(ctx, job.id)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	c = metadataClaim(after.MetadataPublic, key)
	if !c.present() {
		return errors.New("the value is not there after the write: somebody wrote the identity at the same moment")
	}
	return w.confirm(ctx, job, c)
}

// confirm remembers in the ledger that Ory holds our value.
func (w *backWriter) confirm(ctx context.Context, job backJob, found claim) error {
	if found.user != job.user {
		return nil // somebody else's value, or too late: left alone
	}
	l := w.linker
	seen := Seen{Identity: Identity{ID: job.id}}
	_, err := l.Store.Write(ctx, Query{Project: l.project(), Seen: seen}, func(h Held) (Plan, error) {
		if h.Link == nil || h.Link.State != Linked || h.Link.User != job.user {
			return Plan{Action: Keep}, nil
		}
		return Plan{Action: Confirm, User: job.user, BackReference: string(job.user)}, nil
	})
	if err != nil {
		return fmt.Errorf("remember the back-reference: %w", err)
	}
	return nil
}

func (w *backWriter) close(ctx context.Context) error {
	w.mu.Lock()
	w.closed = true
	running, idle := w.running, w.idle
	w.mu.Unlock()
	defer w.cancel()
	if !running {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		w.cancel()
		<-idle
		return fmt.Errorf("back-references left unwritten: %w", ctx.Err())
	}
}
