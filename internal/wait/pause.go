package wait

import (
	"sync"
	"time"
)

// Pause is a time during which no request is sent to a server. Many goroutines may use a
// Pause at once. The zero Pause is over.
type Pause struct {
	mu    sync.Mutex // protects until
	until time.Time
}

// Left returns how long the pause still lasts. The result is zero or negative when the
// pause is over.
func (p *Pause) Left() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Until(p.until)
}

// Extend makes the pause last for d from now, unless it lasts longer already.
func (p *Pause) Extend(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := time.Now().Add(d); until.After(p.until) {
		p.until = until
	}
}
