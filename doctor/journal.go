package doctor

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/dbtime"
	"github.com/symbolon-id/symbolon/internal/wait"
)

// Journal records the test persons before they are created, as a run that is not done until
// they are deleted. After a kill the next examination finds them there and deletes them.
// *sqlstore.Store implements it.
type Journal interface {
	// Clock returns the time of the database. Leases go by it.
	Clock(ctx context.Context) (time.Time, error)

	// UnfinishedRun returns the run of a kind that is not done. symbolon.ErrNotFound: there
	// is none.
	UnfinishedRun(ctx context.Context, project, kind string) (symbolon.Run, error)

	// StartRun records a run. symbolon.ErrConflict: another run of its kind is not done.
	StartRun(ctx context.Context, r symbolon.Run) error

	// SaveRun saves a run. before is the run as it was read or saved last.
	// symbolon.ErrConflict: another process has taken the run over.
	SaveRun(ctx context.Context, before, r symbolon.Run) error
}

const (
	journalKind = "doctor"

	// lease is how long the examination of a killed process blocks the next one. It is
	// renewed four times in this time.
	lease = 12 * time.Second

	// lateSignUp is how long after its recording a test person may still appear at Ory. If
	// the doctor is killed while Ory waits for a hook, Ory completes the sign-up later.
	lateSignUp = 10 * time.Minute
)

// entry is a test person in the journal. The word is random and in the person's traits, so
// that no other person can have it.
type entry struct {
	Word     string              `json:"word"`
	Names    []string            `json:"names"` // the identifiers by which Ory finds the person
	Identity symbolon.IdentityID `json:"identity_id,omitempty"`
	At       time.Time           `json:"at"`
}

// journal is the run of this examination. A goroutine renews its lease until close.
type journal struct {
	ledger  Journal
	project string
	end     func()
	renewed sync.WaitGroup

	mu      sync.Mutex
	clock   dbtime.Clock
	run     symbolon.Run // as it was saved last
	entries []entry
}

var errExamining = errors.New("another doctor signs up a test person at this moment")

// openJournal starts a run, or takes over the run of an examination that was killed. While
// another examination works, it waits for at most three leases.
func (d *Doctor) openJournal(ctx context.Context) (*journal, error) {
	j := &journal{ledger: d.Ledger, project: d.Project}
	for until := time.Now().Add(3 * lease); ; {
		opened, err := j.open(ctx)
		switch {
		case err != nil && !errors.Is(err, symbolon.ErrConflict):
			return nil, err
		case opened:
			j.keep(ctx)
			return j, nil
		case !time.Now().Before(until):
			return nil, errExamining
		}
		if err := wait.For(ctx, 200*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// open returns false if another examination has the run.
func (j *journal) open(ctx context.Context) (bool, error) {
	clock, err := dbtime.Read(ctx, j.ledger.Clock, time.Now)
	if err != nil {
		return false, err
	}
	j.clock = clock
	run, err := j.ledger.UnfinishedRun(ctx, j.project, journalKind)
	switch {
	case errors.Is(err, symbolon.ErrNotFound):
		j.run = symbolon.Run{ID: rand.Text(), Project: j.project, Kind: journalKind, State: symbolon.RunGoing, LeaseUntil: clock.Now().Add(lease)}
		err = j.ledger.StartRun(ctx, j.run)
		return err == nil, err
	case err != nil || clock.Now().Before(run.LeaseUntil):
		return false, err
	}
	j.run = run
	if json.Unmarshal(run.Checkpoint, &j.entries) != nil {
		j.entries = nil
	}
	err = j.save(ctx, symbolon.RunGoing, lease)
	return err == nil, err
}

// keep renews the lease, also after ctx has ended, because the person is deleted then too.
func (j *journal) keep(ctx context.Context) {
	ctx, j.end = context.WithCancel(context.WithoutCancel(ctx))
	j.renewed.Go(func() {
		for wait.For(ctx, lease/4) == nil {
			j.renew(ctx)
		}
	})
}

// renew renews the lease. Without an answer in time the next renewal tries again.
func (j *journal) renew(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lease/4)
	defer cancel()
	_ = j.change(ctx, func() {})
}

// save writes the run.
func (j *journal) save(ctx context.Context, state symbolon.RunState, lease time.Duration) error {
	next, now := j.run, j.clock.Now()
	checkpoint, err := json.Marshal(j.entries)
	if err != nil {
		return err
	}
	next.State, next.Checkpoint, next.LeaseUntil = state, checkpoint, now.Add(lease)
	if state != symbolon.RunGoing {
		next.EndedAt = now
	}
	if err := j.ledger.SaveRun(ctx, j.run, next); err != nil {
		return fmt.Errorf("record the test person: %w", err)
	}
	j.run = next
	return nil
}

// change changes the entries and saves them.
func (j *journal) change(ctx context.Context, f func()) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	f()
	return j.save(ctx, symbolon.RunGoing, lease)
}

// list returns a copy of the entries.
func (j *journal) list() []entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.entries)
}

// add records a test person who is signed up next.
func (j *journal) add(ctx context.Context, p *patient) error {
	return j.change(ctx, func() { j.entries = append(j.entries, entry{Word: p.word, Names: p.names, At: time.Now().UTC()}) })
}

// created records the identity of a test person. Its row and its ledger entry can then be
// deleted even if Ory no longer has the identity.
func (j *journal) created(ctx context.Context, p *patient) error {
	return j.change(ctx, func() {
		for i := range j.entries {
			if j.entries[i].Word == p.word {
				j.entries[i].Identity = p.identity.ID
			}
		}
	})
}

// remove removes a test person who is deleted.
func (j *journal) remove(ctx context.Context, word string) error {
	return j.change(ctx, func() { j.entries = slices.DeleteFunc(j.entries, func(e entry) bool { return e.Word == word }) })
}

// close ends the run, or leaves it to the next examination if a test person is left.
func (j *journal) close(ctx context.Context) error {
	j.end()
	j.renewed.Wait()
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.entries) > 0 {
		return j.save(ctx, symbolon.RunGoing, 0)
	}
	return j.save(ctx, symbolon.RunDone, 0)
}
