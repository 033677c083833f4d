package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/reconcile"
)

// unansweredRuns executes a write or not, and gives no answer, as if the connection
// broke.
type unansweredRuns struct {
	reconcile.Runs

	mu    sync.Mutex
	fault func(call int) fault
	calls int
}

type fault int

const (
	none fault = iota
	doneUnanswered
	lostUnanswered
	doneSlowly // answered in time, or after the caller timed out
)

func (v *unansweredRuns) StartRun(ctx context.Context, r symbolon.Run) error {
	return v.do(ctx, func() error { return v.Runs.StartRun(context.WithoutCancel(ctx), r) })
}

func (v *unansweredRuns) SaveRun(ctx context.Context, before, r symbolon.Run) error {
	return v.do(ctx, func() error { return v.Runs.SaveRun(context.WithoutCancel(ctx), before, r) })
}

func (v *unansweredRuns) do(ctx context.Context, write func() error) error {
	v.mu.Lock()
	how := v.fault(v.calls)
	v.calls++
	v.mu.Unlock()
	unanswered := fmt.Errorf("the connection broke off: %w", symbolon.ErrUnavailable)
	if how == lostUnanswered {
		return unanswered
	}
	if err := write(); err != nil || how == none {
		return err
	}
	if how == doneUnanswered {
		return unanswered
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(200 * time.Millisecond):
		return nil
	}
}

// TestRunsWithoutAnswer executes a write of the store without an answer. The run still
// recognises its own lease, ends without ErrBusy, and leaves no row that looks active.
func TestRunsWithoutAnswer(t *testing.T) {
	for name, fault := range map[string]func(call int) fault{
		"begun, unanswered":           func(n int) fault { return map[int]fault{0: doneUnanswered}[n] },
		"begun at the third time":     func(n int) fault { return map[int]fault{0: lostUnanswered, 1: lostUnanswered}[n] },
		"begun, and lost then":        func(n int) fault { return map[int]fault{0: doneUnanswered, 1: lostUnanswered}[n] },
		"begun while the work ends":   func(n int) fault { return map[int]fault{0: doneSlowly}[n] },
		"renewed, unanswered":         func(n int) fault { return map[int]fault{1: doneUnanswered}[n] },
		"renewed twice, unanswered":   func(n int) fault { return map[int]fault{1: doneUnanswered, 2: doneUnanswered}[n] },
		"renewed, and lost then":      func(n int) fault { return map[int]fault{1: doneUnanswered, 2: lostUnanswered}[n] },
		"renewed while the work ends": func(n int) fault { return map[int]fault{1: doneSlowly, 2: doneSlowly}[n] },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := world(t)
			s.Lease = 150 * time.Millisecond
			runs := &unansweredRuns{Runs: s.Runs, fault: fault}
			s.Runs = runs
			ended, letGo := s.begun(t)
			for asked := 0; asked < 3; time.Sleep(time.Millisecond) {
				runs.mu.Lock()
				asked = runs.calls
				runs.mu.Unlock()
				if name == "begun while the work ends" && asked == 1 || name == "renewed while the work ends" && asked == 2 {
					break
				}
			}
			letGo()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if n := s.count(t, "select count(*) from symbolon_runs where id = 'first' and state = 'done'"); n != 1 {
				t.Errorf("%d runs are done", n)
			}
			if n := s.count(t, "select count(*) from symbolon_runs where state = 'running'"); n != 0 {
				t.Errorf("%d runs are recorded as running", n)
			}
		})
	}
}

// TestTakeOverWithoutAnswer lets a process take over a dead run without an answer, or
// cancels it meanwhile. The next process can take over at once.
func TestTakeOverWithoutAnswer(t *testing.T) {
	for name, how := range map[string]fault{"unanswered": doneUnanswered, "ended meanwhile": doneSlowly} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := world(t)
			s.become(&fakeOry{project: 'a', to: 2 * people, email: "p%d@example.org"})
			if _, done, err := s.Work(t.Context(), reconcile.Options{}, time.Nanosecond); err != nil || done {
				t.Fatalf("%v, %v", done, err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			second := s.another()
			second.Runs = &unansweredRuns{Runs: s.Runs, fault: func(n int) fault {
				if n > 0 {
					return none
				}
				if how == doneSlowly {
					time.AfterFunc(50*time.Millisecond, cancel)
				}
				return how
			}}
			if _, err := second.Run(ctx, reconcile.Options{Repair: true, Resume: true}); err == nil || errors.Is(err, reconcile.ErrBusy) {
				t.Errorf("without an answer: %v", err)
			}
			if report, err := s.another().Run(t.Context(), reconcile.Options{Repair: true, Resume: true}); err != nil || !report.Complete {
				t.Errorf("the next take-over: %v", err)
			}
		})
	}
}
