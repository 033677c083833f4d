package sqlstore

import (
	"errors"
	"slices"
	"time"
)

// Faults of the users table concern everybody. They are not findings, because a finding
// belongs to an identity. The store remembers the faults that it has noticed.

// TableFaults returns the faults of the users table that the store has noticed: columns that
// are left out, missing columns without which nobody gets a user, and rows that the database
// refuses because a right is missing, or because of the table's definition. [Store.Examine]
// reads the table; TableFaults does not.
func (s *Store) TableFaults() []*Fault {
	t := &s.state
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all()
}

func (t *tableState) all() []*Fault {
	all := slices.Clone(t.faults)
	if t.refusal != nil {
		all = append(all, t.refusal)
	}
	return all
}

// change lets f change the state. It calls OnFaults if the faults then differ.
func (s *Store) change(f func(t *tableState)) {
	t := &s.state
	t.mu.Lock()
	before := t.all()
	f(t)
	after := t.all()
	t.mu.Unlock()
	same := func(a, b *Fault) bool { return *a == *b }
	if s.OnFaults != nil && !slices.EqualFunc(before, after, same) {
		s.OnFaults(after)
	}
}

// noteFaults remembers the faults of a reading of the shape.
func (s *Store) noteFaults(faults []error) {
	s.change(func(t *tableState) {
		t.at, t.faults = time.Now(), nil
		for _, err := range faults {
			f, ok := errors.AsType[*Fault](err)
			if !ok {
				f = &Fault{Kind: Refusing, Is: err.Error()}
			}
			t.faults = append(t.faults, f)
		}
	})
}

// refusalLasts is how long a refusal stays a fault although other rows are written.
// Otherwise the fault would come and go while some rows are refused and others are written.
const refusalLasts = 10 * time.Second

// noteRefusal remembers that the database refused a call because of a right or of the
// table's definition. The caller gets ErrUnavailable, and no person gets a finding.
func (s *Store) noteRefusal(err error) {
	f := s.refusalOf(err)
	if f == nil {
		return
	}
	s.change(func(t *tableState) {
		if len(t.faults) == 0 || !s.Dialect.misshapen(err) { // otherwise a known fault of the shape is the cause
			t.refusal, t.refused, t.typed = f, time.Now(), s.Dialect.misshapen(err)
		}
	})
}

// refusalOf returns the fault that has caused an error. It returns nil if the cause is
// neither a right nor the table's definition.
func (s *Store) refusalOf(err error) *Fault {
	if _, own := errors.AsType[plainError](err); own {
		return nil
	}
	if empty, ok := errors.AsType[emptyError](err); ok {
		return empty.column
	}
	if hides, ok := errors.AsType[hiddenError](err); ok {
		return hidingFault(hides.table, hides.user)
	}
	if !s.Dialect.setup(err) {
		return nil
	}
	table := s.users().table()
	is, fix := s.Dialect.describeSetup(err, table)
	return &Fault{Kind: Refusing, Is: "the database refuses statements for table " + table + ": " + is, Fix: fix}
}

// joined is one fault for several columns with the same fault.
func joined(faults []*Fault) *Fault {
	one := *faults[0]
	for _, f := range faults[1:] {
		one.Column += ", " + f.Column
		one.Is += "; " + f.Is
	}
	return &one
}

// emptyError says that the table refuses every new row, because nothing fills a required
// column.
type emptyError struct{ column *Fault }

func (e emptyError) Error() string { return e.column.Is }

// noteWritten forgets an old refusal after a row was written.
func (s *Store) noteWritten() {
	s.state.mu.Lock()
	present := s.state.refusal != nil && time.Since(s.state.refused) > refusalLasts
	s.state.mu.Unlock()
	if present {
		s.change(func(t *tableState) { t.refusal = nil })
	}
}
