package session

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon/internal/wait"
)

// outbox sends items to the other replicas, off the request path. It sends items in
// batches, retries each batch until it is sent, and sends the rest when it closes. Its
// goroutine runs only while items are pending.
type outbox[K comparable, V any] struct {
	send     func(ctx context.Context, batch map[K]V) error
	failed   func(err error)
	delay    time.Duration // how long a batch is collected
	capacity int

	stop chan struct{} // closed by close; made before the first put
	wg   sync.WaitGroup

	mu      sync.Mutex // protects the fields below
	pending map[K]V
	running bool
	closing bool
}

const (
	maxBatch    = 1000
	sendTimeout = 2 * time.Second
	sendPause   = 500 * time.Millisecond // after a failure
)

// put adds an item. It reports false if there is no room.
func (o *outbox[K, V]) put(k K, val V) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.pending) >= o.capacity {
		return false
	}
	o.add(k, val)
	return true
}

// only(k, val) replaces all pending items by one item.
func (o *outbox[K, V]) only(k K, val V) {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.pending)
	o.add(k, val)
}

func (o *outbox[K, V]) add(k K, val V) {
	if o.pending == nil {
		o.pending = map[K]V{}
	}
	o.pending[k] = val
	if !o.running && !o.closing {
		o.running = true
		o.wg.Go(o.run)
	}
}

func (o *outbox[K, V]) run() {
	pause := o.delay
	for {
		stopping := pause > 0 && wait.Until(o.stop, pause)
		pause = o.delay
		batch := o.take()
		if batch == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), sendTimeout)
		err := o.send(ctx, batch)
		cancel()
		if err == nil {
			continue
		}
		o.failed(err)
		o.giveBack(batch)
		if stopping {
			return
		}
		pause = max(pause, sendPause)
	}
}

// take returns a batch. It returns nil if nothing is pending; the goroutine then ends.
func (o *outbox[K, V]) take() map[K]V {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.pending) == 0 {
		o.running = false
		return nil
	}
	if len(o.pending) <= maxBatch {
		batch := o.pending
		o.pending = nil
		return batch
	}
	batch := make(map[K]V, maxBatch)
	for k, val := range o.pending {
		if batch[k] = val; len(batch) == maxBatch {
			break
		}
	}
	for k := range batch {
		delete(o.pending, k)
	}
	return batch
}

// giveBack makes a batch pending again. Newer items of the same key win.
func (o *outbox[K, V]) giveBack(batch map[K]V) {
	o.mu.Lock()
	defer o.mu.Unlock()
	maps.Copy(batch, o.pending)
	o.pending = batch
}

func (o *outbox[K, V]) waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.pending)
}

// close tries once to send the pending items. Nothing is sent afterwards.
func (o *outbox[K, V]) close() {
	o.mu.Lock()
	if !o.closing && o.stop != nil {
		close(o.stop)
	}
	o.closing = true
	o.mu.Unlock()
	o.wg.Wait()
}
