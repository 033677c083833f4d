package link

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon"
)

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
	id      symbolon.IdentityID
	user    symbolon.UserID
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
func (w *backWriter) offer(seen symbolon.Reading, link symbolon.Link) {
	if w.linker.QueuedWrites || !w.linker.WantsBackReference(seen, link) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.queue) >= maxBackJobs {
		w.linker.log().Warn("back-reference not written: too many are waiting", "identity", link.Identity)
		return
	}
	w.queue = append(w.queue, backJob{id: link.Identity, user: link.User, until: seen.Identity.CreatedAt.Add(createWindow)})
	if !w.running {
		w.running, w.idle = true, make(chan struct{})
		go w.work()
	}
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
	t := time.NewTimer(min(d, createWindow))
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
	ctx, cancel := context.WithTimeout(w.ctx, 10*time.Second)
	defer cancel()
	_, err := w.linker.WriteBackReference(symbolon.Background(ctx, 5*time.Second), job.id)
	if err == nil {
		return // written, or there is nothing to write any more
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
