package erase

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/wait"
)

// The steps of an erasure, in their order. After the last comes symbolon.EraseDone.
const (
	StepDeny     symbolon.ErasureStep = "deny"     // end the bond: the identity is denied from now on
	StepSessions symbolon.ErasureStep = "sessions" // revoke the identity's sessions at Ory
	StepIdentity symbolon.ErasureStep = "identity" // delete the identity at Ory, and read it to see that it is gone
	StepRow      symbolon.ErasureStep = "row"      // anonymise or delete the user's row, and read it to see that this was done
	StepScrub    symbolon.ErasureStep = "scrub"    // clear Symbolon's own records of the person

	// StepWithdrawn ends an erasure that changed nothing, because the identity and the user no
	// longer belonged together. The operator has to say which of them to erase.
	StepWithdrawn symbolon.ErasureStep = "withdrawn"
)

// order is the order of the steps.
var order = []symbolon.ErasureStep{StepDeny, StepSessions, StepIdentity, StepRow,
	StepScrub, symbolon.EraseDone}

// Run continues an erasure until it is done or a step fails. The error of the step is
// recorded; call Run again to continue. ErrNotFound with an empty Erasure: the erasure does
// not exist.
func (e *Erasures) Run(ctx context.Context, id string) (symbolon.Erasure, error) {
	erasure, err := e.Get(ctx, id)
	if err != nil {
		return symbolon.Erasure{}, err
	}
	if erasure, err = e.refreshPerson(ctx, erasure); err != nil {
		return erasure, err
	}
	for !erasure.Done() {
		if erasure, err = e.step(ctx, erasure); err != nil {
			return erasure, err
		}
	}
	return erasure, nil
}

// Finish calls Run until the erasure is done or ctx ends, with growing pauses. It returns
// the error of the last attempt.
func (e *Erasures) Finish(ctx context.Context, id string) (symbolon.Erasure, error) {
	for tries := 0; ; tries++ {
		erasure, err := e.Run(ctx, id)
		if err == nil || ctx.Err() != nil || errors.Is(err, symbolon.ErrNotFound) && erasure.ID == "" {
			return erasure, err
		}
		if wait.For(ctx, min(250*time.Millisecond<<min(tries, 10), 30*time.Second)) != nil {
			return erasure, err
		}
	}
}

// Resume continues the unfinished erasures. The pause after an attempt is half of the
// erasure's age at that attempt, but at least five seconds and at most five minutes. A server
// calls Resume every few seconds. done is the number of erasures that this call completed, and
// left is the number of erasures that still wait. An error means that the erasures could not
// be read.
func (e *Erasures) Resume(ctx context.Context) (done, left int, err error) {
	list, err := e.Unfinished(ctx)
	if err != nil {
		return 0, 0, err
	}
	for _, erasure := range list {
		pause := min(max(erasure.UpdatedAt.Sub(erasure.RequestedAt)/2, 5*time.Second), 5*time.Minute)
		if e.now().Before(erasure.UpdatedAt.Add(pause)) {
			left++
			continue
		}
		if erasure, err := e.Run(ctx, erasure.ID); err != nil {
			left++
			e.log().Warn("erasure is not done, and is tried again", "erasure", erasure.ID, "step", erasure.Step, "error", err)
		} else {
			done++
		}
	}
	return done, left, nil
}

// step does one step and records it.
func (e *Erasures) step(ctx context.Context, erasure symbolon.Erasure) (symbolon.Erasure, error) {
	from := erasure.Step
	note, err := e.do(ctx, &erasure)
	if err != nil {
		err = fmt.Errorf("erasure %s, step %s: %w", erasure.ID, from, err)
		if ctx.Err() == nil { // a caller that gives up is not a failure of the step
			erasure.Attempts++
			erasure.LastError, erasure.UpdatedAt = oneLine(err.Error()), e.now()
			_, _ = e.Record.SaveErasure(ctx, erasure, from)
		}
		return erasure, err
	}
	return e.advance(ctx, erasure, note)
}

// advance records a completed step. If another process recorded the step first, its record
// is kept.
func (e *Erasures) advance(ctx context.Context, erasure symbolon.Erasure, note symbolon.ErasureNote) (symbolon.Erasure, error) {
	next, now := erasure, e.now()
	note.Step, note.At, note.Tries = erasure.Step, now, erasure.Attempts+1
	next.Evidence = append(slices.Clip(erasure.Evidence), note)
	next.Attempts, next.LastError, next.UpdatedAt = 0, "", now
	next.Step = order[slices.Index(order, erasure.Step)+1]
	if next.Step == symbolon.EraseDone {
		next.DoneAt = now
	}
	return e.save(ctx, erasure, next)
}

// save stores the parameter next in place of the parameter before. If the store returns an
// error, save returns the parameter before, because without an answer the step is treated
// as not recorded.
func (e *Erasures) save(ctx context.Context, before, next symbolon.Erasure) (symbolon.Erasure, error) {
	from := before.Step
	saved, err := e.Record.SaveErasure(ctx, next, from)
	if err != nil {
		return before, fmt.Errorf("record step %s of erasure %s: %w", from, before.ID, err)
	}
	if !saved {
		now, err := e.Get(ctx, before.ID)
		if err != nil {
			return before, err
		}
		if now.Done() || now.Step != from {
			return now, nil
		}
		if now.Identity == next.Identity && now.User == next.User {
			return now, fmt.Errorf("record step %s of erasure %s: %w", from, before.ID, symbolon.ErrUnavailable)
		}
		next.Identity, next.User = now.Identity, now.User // another erasure has the identity or user that this one filled in, so this one goes on without it
		return e.save(ctx, now, next)
	}
	if next.Done() {
		e.log().Info("erasure done", "erasure", next.ID, "identity", next.Identity, "user", next.User)
	}
	return next, nil
}

// withdraw ends an erasure that has changed nothing and must change nothing.
func (e *Erasures) withdraw(ctx context.Context, erasure symbolon.Erasure, why string) (symbolon.Erasure, error) {
	next, now := erasure, e.now()
	next.Evidence = append(slices.Clip(erasure.Evidence), symbolon.ErasureNote{Step: StepWithdrawn, At: now, Outcome: why, Tries: 1})
	next.Step, next.UpdatedAt, next.DoneAt = StepWithdrawn, now, now
	return e.save(ctx, erasure, next)
}

// refreshPerson reads again which identity and user belong together. It fills in an
// identity or a user that the erasure does not have yet. If the two no longer belong
// together and nothing was done yet, it withdraws the erasure.
func (e *Erasures) refreshPerson(ctx context.Context, erasure symbolon.Erasure) (symbolon.Erasure, error) {
	if erasure.Done() || erasure.Identity != "" && erasure.Step != StepDeny {
		return erasure, nil
	}
	p, err := e.find(ctx, cmp.Or(string(erasure.Identity), string(erasure.User)))
	conflict, isConflict := errors.AsType[*symbolon.ConflictError](err)
	switch {
	case errors.Is(err, symbolon.ErrNotFound):
		return erasure, nil
	case isConflict && erasure.Step == StepDeny:
		return e.withdraw(ctx, erasure, conflict.Reason)
	case err != nil:
		return erasure, fmt.Errorf("erasure %s: %w", erasure.ID, err)
	case erasure.User != "" && p.user != erasure.User:
		return e.withdraw(ctx, erasure, fmt.Sprintf("user %s no longer belongs to identity %s: erase each by its own ID", erasure.User, erasure.Identity))
	case p.identity == erasure.Identity && p.user == erasure.User:
		return erasure, nil
	}
	whole, from := erasure, erasure.Step
	whole.Identity, whole.User, whole.Step = p.identity, p.user, StepDeny
	if saved, err := e.Record.SaveErasure(ctx, whole, from); err != nil || !saved {
		return erasure, err // the other half has an erasure of its own
	}
	return whole, nil
}

// oneLine shortens an error for the record.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 500 {
		s = s[:500] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}
