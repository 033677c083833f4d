package link

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/wait"
)

// backReferenceWriter writes back-references at Ory, one at a time, because Ory Network
// refuses two writes at once. Nobody waits for them. A crash or a full queue loses them,
// which harms no link.
type backReferenceWriter struct {
	linker *Linker
	ctx    context.Context // of all writes; close cancels it
	cancel context.CancelFunc

	mu      sync.Mutex // protects the fields below
	queue   []writeJob
	running bool
	closed  bool
	idle    chan struct{} // closed when the goroutine ends
}

type writeJob struct {
	id       symbolon.IdentityID
	user     symbolon.UserID
	until    time.Time // the end of the identity's create window
	failures int
	after    time.Time // the next attempt is not made before this time
}

const (
	// maxQueue limits the memory of the queue. The writer needs about ten minutes for so
	// many PATCHes, which it makes one at a time. Most jobs of a full queue are given up
	// before their turn, because an identity is patched only in its first minute.
	maxQueue = 10_000

	writeTimeout  = 10 * time.Second
	writePatience = 5 * time.Second // for the background's share of Ory's rate
)

func newBackReferenceWriter(l *Linker) *backReferenceWriter {
	ctx, cancel := context.WithCancel(context.Background())
	return &backReferenceWriter{linker: l, ctx: ctx, cancel: cancel}
}

// enqueue queues the back-reference of a new bond if the policy wants one.
func (w *backReferenceWriter) enqueue(r symbolon.Reading, link symbolon.Link) {
	if w.linker.QueuedWrites || !w.linker.WantsBackReference(r, link) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.queue) >= maxQueue {
		w.linker.log().Warn("back-reference not written: the queue is full or closed", "identity", link.Identity)
		return
	}
	w.queue = append(w.queue, writeJob{id: link.Identity, user: link.User, until: r.Identity.CreatedAt.Add(createWindow)})
	if !w.running {
		w.running, w.idle = true, make(chan struct{})
		go w.work()
	}
}

// work ends when the queue is empty.
func (w *backReferenceWriter) work() {
	defer close(w.idle)
	for {
		job, ok := w.next()
		if !ok {
			return
		}
		if d := job.after.Sub(w.linker.now()); d > 0 && wait.For(w.ctx, min(d, createWindow)) != nil {
			continue // close cancelled the writes, and next ends the work
		}
		w.attempt(job)
	}
}

func (w *backReferenceWriter) next() (writeJob, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 || w.ctx.Err() != nil {
		w.running = false
		return writeJob{}, false
	}
	job := w.queue[0]
	w.queue = w.queue[1:]
	return job, true
}

// attempt makes one write. A failed one goes to the end of the queue, as long as the
// identity's create window lasts.
func (w *backReferenceWriter) attempt(job writeJob) {
	log := w.linker.log().With("identity", job.id, "user", job.user)
	ctx, cancel := context.WithTimeout(w.ctx, writeTimeout)
	defer cancel()
	_, err := w.linker.WriteBackReference(symbolon.Background(ctx, writePatience), job.id)
	if err == nil {
		return // it is written, or must not be written any more
	}
	job.failures++
	job.after = w.linker.now().Add(time.Second << min(job.failures, 4))
	if w.ctx.Err() != nil || job.after.After(job.until) {
		log.Warn("back-reference not written", "error", err)
		return
	}
	log.Info("back-reference will be tried again", "error", err)
	w.mu.Lock()
	w.queue = append(w.queue, job)
	w.mu.Unlock()
}

// close refuses new jobs and waits for the goroutine. If ctx ends first, it cancels the
// writes.
func (w *backReferenceWriter) close(ctx context.Context) error {
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
