package adopt

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/wait"
)

// maxConsecutiveFailures is how many lines in a row may fail because Ory or the store is
// unavailable. Then the run ends.
const maxConsecutiveFailures = 10

// Refusal is a line of a plan, or a link of a run, that was left unchanged.
type Refusal struct {
	Identity symbolon.IdentityID `json:"identity_id"`
	User     symbolon.UserID     `json:"user_id"`
	Why      string              `json:"why"`
}

// Report is what a run did.
type Report struct {
	Run     string    `json:"run"`
	Done    int       `json:"done"`        // lines applied by this call
	Before  int       `json:"done_before"` // lines that an earlier call applied
	Refused []Refusal `json:"refused"`     // left unchanged, each with the reason
	Failed  int       `json:"failed"`      // interrupted by an outage; the next call tries again
	Held    int       `json:"held"`        // identities that Apply put on hold, because the plan does not settle them
	Settled bool      `json:"settled"`     // the start of the project is settled now
}

// Apply applies the lines with step Bind. It plans again with the proofs in the lines, and
// refuses each line that is not in the new plan. Before each link it reads the facts again,
// also at Ory. If the identity and the user of a line are linked already, the line is
// counted in Report.Before. If a call ended early, for any reason, call it again with the
// same lines.
//
// At the end Apply settles the start of the project ([symbolon.Start]), so that everybody
// who is alone gets a new user. Before that it puts on hold every identity for which there
// is evidence that the lines do not settle: it is ambiguous, its line was refused, or the
// lines leave it out. Lines without any Bind settle nothing: see link.Linker.StartFresh.
//
// Errors: those of Plan; ErrUnavailable if an outage interrupted some lines. Refused lines
// are not an error.
func (a *Adopter) Apply(ctx context.Context, lines []Line, o Options) (Report, error) {
	r := &run{Adopter: a, options: o, report: Report{Run: RunOf(lines)}}
	for _, l := range lines {
		if l.Do == Bind {
			r.lines = append(r.lines, l)
			r.options.add(l.By)
		}
	}
	err := r.apply(ctx)
	if err != nil {
		err = fmt.Errorf("apply run %s: %w", r.report.Run, err)
	}
	return r.report, err
}

// add adds the options that a proof needs.
func (o *Options) add(by symbolon.Proof) {
	_, inMetadata := by.MetadataKey()
	_, inColumn := by.Column()
	if o.By = slices.Clone(o.By); (by == symbolon.ByExternalID || inMetadata || inColumn) && !slices.Contains(o.By, by) {
		o.By = append(o.By, by)
	}
	o.Email = o.Email || by == symbolon.ByVerifiedEmail
}

// run is the state of one Apply or Undo.
type run struct {
	*Adopter
	options       Options
	lines         []Line
	report        Report
	seen          seenSessions // of Undo
	failuresInRow int          // failures by an outage, without a success in between
	failure       error        // the first failure
	doubtful      []Line       // lines with evidence that the run does not apply
}

func (r *run) apply(ctx context.Context) error {
	now, err := r.planAgain(ctx)
	if err != nil {
		return err
	}
	column, err := columnOf(r.options.By)
	if err != nil {
		return err
	}
	m := r.meter(r.options, Binding, len(r.lines))
	for _, l := range r.lines {
		if err := r.bind(ctx, l, now[l.Identity], column); err != nil {
			return err
		}
		m.step(1)
	}
	if r.failure != nil || len(r.lines) == 0 {
		return r.failure
	}
	return r.settle(ctx)
}

// settle holds the identities that the run leaves undecided, and settles the project's start.
func (r *run) settle(ctx context.Context) error {
	for _, l := range r.doubtful {
		held, err := r.Linker.HoldAmbiguous(ctx, l.Identity, l.User, r.report.Run, "an adoption did not settle it: "+l.Why)
		if err != nil {
			return err
		}
		if held {
			r.report.Held++
		}
	}
	if err := r.Linker.Settle(ctx, "adopt"); err != nil {
		return err
	}
	r.report.Settled = true
	return nil
}

const notAtOry = "Ory does not have the identity"

// planAgain plans again and returns the new line of each identity.
func (r *run) planAgain(ctx context.Context) (map[symbolon.IdentityID]Line, error) {
	now := make(map[symbolon.IdentityID]Line, len(r.lines))
	for _, l := range r.lines {
		now[l.Identity] = Line{Class: Alone, Identity: l.Identity, Why: notAtOry}
	}
	_, err := r.Plan(ctx, r.options, func(l Line) error {
		_, ours := now[l.Identity]
		if ours {
			now[l.Identity] = l
		}
		switch {
		case l.Identity == "":
		case l.Class == Ambiguous:
			r.doubtful = append(r.doubtful, l)
		case l.Do == Bind && !ours:
			l.Why = fmt.Sprintf("the plan that was applied leaves out user %s, whom %s names", l.User, l.By)
			r.doubtful = append(r.doubtful, l)
		}
		return nil
	})
	return now, err
}

// bind applies one line. An error ends the run.
func (r *run) bind(ctx context.Context, l, now Line, column string) error {
	switch {
	case now.Class == Linked && now.User == l.User:
		r.report.Before++
		return nil
	case now.Why == notAtOry:
		return r.refuse(l.Identity, l.User, changed(now))
	case now.Do != Bind || now.User != l.User: // the Linker checks l.By again
		return r.doubt(l.Identity, l.User, changed(now))
	}
	if _, ok := l.By.Column(); ok {
		row, err := r.Users.UserRow(ctx, r.project(), l.User, column)
		if other, _ := symbolon.ParseIdentityID(row.Column); err == nil && other != l.Identity {
			return r.doubt(l.Identity, l.User, "the column no longer holds the identity")
		}
		if err != nil {
			return r.countResult(ctx, l.Identity, l.User, false, err)
		}
	}
	made, err := paced(ctx, func(ctx context.Context) (bool, error) {
		_, made, err := r.Linker.Adopt(ctx, symbolon.Adoption{Identity: l.Identity, User: l.User, By: l.By, Run: r.report.Run})
		return made, err
	})
	return r.countResult(ctx, l.Identity, l.User, made, err)
}

// changed describes the new line of an identity.
func changed(now Line) string {
	text := fmt.Sprintf("the facts have changed: now it is %s", now.Class)
	if now.User != "" {
		text += fmt.Sprintf(", user %s", now.User)
	}
	if now.By != "" {
		text += fmt.Sprintf(", by %s", now.By)
	}
	if now.Why != "" {
		text += ": " + now.Why
	}
	return text
}

// refuse counts a line that is left unchanged. It never ends the run.
func (r *run) refuse(id symbolon.IdentityID, user symbolon.UserID, why string) error {
	r.report.Refused = append(r.report.Refused, Refusal{id, user, why})
	r.failuresInRow = 0
	return nil
}

// doubt is refuse for a line whose identity is at Ory and has no user yet.
func (r *run) doubt(id symbolon.IdentityID, user symbolon.UserID, why string) error {
	r.doubtful = append(r.doubtful, Line{Identity: id, User: user, Why: why})
	return r.refuse(id, user, why)
}

// countResult counts the result of one line. made says that this call made the link;
// otherwise it existed before. Only outages end a run.
func (r *run) countResult(ctx context.Context, id symbolon.IdentityID, user symbolon.UserID, made bool, err error) error {
	conflict, isConflict := errors.AsType[*symbolon.ConflictError](err)
	denied, isDenial := errors.AsType[*symbolon.DenyError](err)
	switch {
	case err == nil:
		r.failuresInRow = 0
		if made {
			r.report.Done++
		} else {
			r.report.Before++
		}
		return nil
	case isConflict:
		return r.doubt(id, user, conflict.Reason)
	case isDenial:
		return r.doubt(id, user, denied.Detail)
	case errors.Is(err, symbolon.ErrNotFound):
		return r.refuse(id, user, "the identity or the user no longer exists")
	case ctx.Err() != nil:
		return ctx.Err()
	}
	r.report.Failed++
	r.failuresInRow++
	if r.failure == nil {
		r.failure = err
	}
	if r.failuresInRow >= maxConsecutiveFailures {
		return r.failure
	}
	return nil
}

// paced calls the function ask. At Ory's rate limit it waits and calls ask again.
func paced[T any](ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	return wait.PastLimit(ctx, 100, ask)
}
