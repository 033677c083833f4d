package adopt

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/decide"
)

// page is how many rows or ledger entries are read at once.
const page = 500

// ErrDisorder: the listing of identities was not ordered by ID, so it cannot be compared
// with the ledger.
var ErrDisorder = errors.New("the listing of identities is not ordered by ID")

// Counts counts the lines of a plan by class, and the lines to be linked (Bind).
type Counts struct {
	Identities int           `json:"identities"`
	Users      int           `json:"users"`
	Lines      map[Class]int `json:"lines"`
	Bind       int           `json:"bind"`

	// Places are the places outside of Options.By that name a user for identities that the
	// plan does not bind, and the number of those identities. Undecided is the number of all
	// identities at Ory that the plan does not bind and the ledger does not link. Mailed is the
	// number of those with the e-mail address of a free user; see Options.EmailColumn.
	Places    map[symbolon.Proof]int `json:"places,omitempty"`
	Mailed    int                    `json:"mailed,omitempty"`
	Undecided int                    `json:"undecided"`

	// New are the undecided identities that the ledger does not know. When the start is settled
	// they get a new user at their next request. NotEligible are the undecided identities that
	// Linker.When does not admit, so that they get none.
	New         int `json:"new"`
	NotEligible int `json:"not_eligible,omitempty"`
}

// Plan reads every user and every identity, writes nothing, and calls visit with every
// line. If visit returns an error, Plan ends with this error. Two plans without a change in
// between have the same lines in the same order. People who sign up meanwhile may be
// missing; they are linked already.
//
// Errors: symbolon.ErrNoAdmin, symbolon.ErrUnavailable, ErrDisorder.
func (a *Adopter) Plan(ctx context.Context, o Options, visit func(Line) error) (Counts, error) {
	if !a.Linker.Ory.HasAdmin() {
		return Counts{}, fmt.Errorf("adopt: %w", symbolon.ErrNoAdmin)
	}
	p := &planner{Adopter: a, options: o, visit: visit, index: newIndex(), counts: Counts{Lines: map[Class]int{}},
		undecided: map[symbolon.IdentityID]bool{}, mail: map[address][]int{}}
	var err error
	if p.column, err = columnOf(o.By); err != nil {
		return Counts{}, err
	}
	for _, step := range []func(context.Context) error{p.readUsers, p.readIdentities, p.decideOpen, p.tellRows, p.surveyColumns, p.surveyEmail} {
		if err := step(ctx); err != nil {
			return p.counts, fmt.Errorf("adopt: %w", err)
		}
	}
	return p.counts, nil
}

// columnOf returns the column that the operator named, or "".
func columnOf(by []symbolon.Proof) (column string, err error) {
	for _, proof := range by {
		if name, ok := proof.Column(); ok {
			if column != "" && column != name {
				return "", fmt.Errorf("adopt: two columns are named, %s and %s, and a plan can read only one", column, name)
			}
			column = name
		}
	}
	return column, nil
}

// planner is the state of one Plan.
type planner struct {
	*Adopter
	options   Options
	column    string
	visit     func(Line) error
	index     *index
	counts    Counts
	undecided map[symbolon.IdentityID]bool // identities that the plan does not bind; only with Options.Columns
	mail      map[address][]int            // their addresses, and the number of each identity; only with Options.EmailColumn
	open      []Line                       // lines that wait for the end, because another identity may name the same user

	entries []symbolon.Entry // the page of the ledger that the listing has reached
	upto    symbolon.IdentityID
	whole   bool // this page is the last one
}

func (p *planner) emit(l Line) error {
	p.counts.Lines[l.Class]++
	if l.Do == Bind {
		p.counts.Bind++
	}
	return p.visit(l)
}

// readUsers fills the index and emits the lines that are certain.
func (p *planner) readUsers(ctx context.Context) error {
	m := p.meter(p.options, ReadingUsers, 0)
	for after := symbolon.UserID(""); ; {
		rows, err := p.Users.UserRows(ctx, p.project(), after, p.column, page)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if line, certain := p.index.add(r, p.options); certain {
				if err := p.emit(line); err != nil {
					return err
				}
			}
		}
		p.counts.Users += len(rows)
		m.step(len(rows))
		if len(rows) < page {
			return nil
		}
		after = rows[len(rows)-1].ID
	}
}

// readIdentities reads the listing and the ledger side by side.
func (p *planner) readIdentities(ctx context.Context) error {
	m := p.meter(p.options, ReadingIdentities, 0)
	last := symbolon.IdentityID("")
	for id, err := range p.Identities(ctx) {
		if err != nil {
			return fmt.Errorf("after %d identities: %w", p.counts.Identities, err)
		}
		if id.ID <= last {
			return fmt.Errorf("%w: %s came after %s", ErrDisorder, id.ID, last)
		}
		last = id.ID
		p.counts.Identities++
		m.step(1)
		entry, err := p.entryOf(ctx, id.ID)
		if err != nil {
			return err
		}
		if entry != nil && entry.Link.State == symbolon.Linked && entry.User != nil {
			continue // readUsers has emitted its line
		}
		if err := p.decideIdentity(ctx, id, entry); err != nil {
			return err
		}
	}
	return nil
}

// entryOf returns the ledger entry of an identity, or nil. It reads the ledger in pages as
// the listing goes on.
func (p *planner) entryOf(ctx context.Context, id symbolon.IdentityID) (*symbolon.Entry, error) {
	for {
		for len(p.entries) > 0 && p.entries[0].Link.Identity < id {
			p.entries = p.entries[1:]
		}
		if len(p.entries) > 0 || p.whole {
			break
		}
		entries, err := p.Ledger.Entries(ctx, p.project(), p.upto, "", page)
		if err != nil {
			return nil, err
		}
		p.entries, p.whole = entries, len(entries) < page
		if len(entries) > 0 {
			p.upto = entries[len(entries)-1].Link.Identity
		}
	}
	if len(p.entries) > 0 && p.entries[0].Link.Identity == id {
		return &p.entries[0], nil
	}
	return nil, nil
}

// decideIdentity decides one identity. A line to be linked waits for decideOpen.
func (p *planner) decideIdentity(ctx context.Context, id symbolon.Identity, entry *symbolon.Entry) error {
	f, mailed, err := p.gather(ctx, id, entry)
	if err != nil {
		return err
	}
	line := decideLine(f)
	for _, at := range mailed {
		more(&p.index.rows[at].mailed)
	}
	if line.Do == Bind {
		row := &p.index.rows[p.index.byUser[line.User]]
		more(&row.named)
		row.told = true
		p.open = append(p.open, line)
		return nil
	}
	p.doubt(f, line, mailed)
	p.survey(id, entry)
	return p.emit(line)
}

// doubt marks the users that an undecided line concerns.
func (p *planner) doubt(f facts, line Line, mailed []int32) {
	concerned := slices.Concat(mailed, p.index.byIdentity[f.identity])
	for _, s := range f.claims {
		if at, ok := p.index.byUser[s.user]; ok {
			more(&p.index.rows[at].named)
			concerned = append(concerned, at)
		}
	}
	for _, at := range concerned {
		row := &p.index.rows[at]
		if row.id == line.User {
			row.told = true
		} else {
			row.doubtful = true
		}
	}
}

// gather collects the facts about an identity, and the rows with its addresses.
func (p *planner) gather(ctx context.Context, id symbolon.Identity, entry *symbolon.Entry) (f facts, mailed []int32, err error) {
	f = facts{identity: id.ID, taken: p.index.contested[id.ID]}
	if entry != nil {
		f.entry = entry.Link
	}
	for _, at := range p.index.byIdentity[id.ID] {
		f.column = append(f.column, p.index.rows[at].id)
	}
	for _, proof := range slices.Concat([]symbolon.Proof{symbolon.ByVoucher}, p.options.By) {
		if _, ok := proof.Column(); ok {
			for _, at := range p.index.byColumn[id.ID] {
				f.claims = append(f.claims, p.claimTo(proof, at))
			}
		} else if user := p.Linker.ClaimOf(id, proof); user != "" {
			c, err := p.findClaim(ctx, proof, user)
			if err != nil {
				return f, nil, err
			}
			f.claims = append(f.claims, c)
		}
	}
	if p.options.Email {
		var matches []symbolon.Match
		matches, mailed = p.index.matches(id.Emails())
		f.mail, f.verdict = decide.JudgeEmail(id, matches)
	}
	return f, mailed, nil
}

// findClaim returns the claim of an identity that names a user. If the index does not have
// the user, which is rare, it is read from the table.
func (p *planner) findClaim(ctx context.Context, by symbolon.Proof, user symbolon.UserID) (claim, error) {
	if at, known := p.index.byUser[user]; known {
		return p.claimTo(by, at), nil
	}
	row, err := p.Users.UserRow(ctx, p.project(), user, p.column)
	switch {
	case errors.Is(err, symbolon.ErrNotFound):
		return claim{by, user, missing}, nil
	case err != nil:
		return claim{}, err
	}
	if _, known := p.index.byUser[row.ID]; !known && row.Linked == "" && !row.Retired { // the row is new
		p.index.add(row, p.options)
	}
	if at, known := p.index.byUser[row.ID]; known {
		return p.claimTo(by, at), nil
	}
	return claim{by, row.ID, taken}, nil
}

// claimTo is the claim to the user of a row of the index.
func (p *planner) claimTo(by symbolon.Proof, at int32) claim {
	r := p.index.rows[at]
	if r.bound || r.holds {
		return claim{by, r.id, taken}
	}
	return claim{by, r.id, free}
}

// decideOpen emits the waiting lines. A user that two identities name is ambiguous.
func (p *planner) decideOpen(context.Context) error {
	for _, line := range p.open {
		row := &p.index.rows[p.index.byUser[line.User]]
		if row.named > 1 || line.Class == Email && row.mailed > 1 {
			line.Class, line.Do = Ambiguous, ""
			line.Why = "another identity names the same user"
			if row.named == 1 {
				line.Why = "another identity has the same e-mail address"
			}
		}
		if err := p.emit(line); err != nil {
			return err
		}
	}
	return nil
}

// tellRows emits a line for each user that is in no line yet.
func (p *planner) tellRows(context.Context) error {
	for _, r := range p.index.rows {
		if r.told {
			continue
		}
		line := Line{Class: Alone, User: r.id}
		switch {
		case r.doubtful:
			line.Class, line.Why = Ambiguous, "there is evidence for an identity, but not enough"
		case r.holds:
			line.Why = "its identity column holds an ID that Ory does not have"
		}
		if err := p.emit(line); err != nil {
			return err
		}
	}
	return nil
}
