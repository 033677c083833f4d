package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// Age makes the last reading of the shape and the last refusal old.
func (s *Store) Age() {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	s.state.at, s.state.again, s.state.refused = time.Time{}, time.Time{}, time.Time{}
}

// TestShapeIsReadOnceASecond checks that the errors of a broken table do not read its shape
// for each request.
func TestShapeIsReadOnceASecond(t *testing.T) {
	var state tableState
	if !state.mayReadAgain() || state.mayReadAgain() {
		t.Error("the second error within a second reads the shape too")
	}
	state.again = state.again.Add(-shapeEvery)
	if !state.mayReadAgain() {
		t.Error("an error after a second does not read the shape")
	}
}

type stateError string

func (e stateError) Error() string    { return "state " + string(e) }
func (e stateError) SQLState() string { return string(e) }

type codeError int

func (e codeError) Error() string { return fmt.Sprint("code ", int(e)) }
func (e codeError) Code() int     { return int(e) }

// TestRefusedBy checks that "don't know" is never a denial.
// TestUnreachable checks for which errors a program may start without its database.
func TestUnreachable(t *testing.T) {
	for _, tt := range []struct {
		dialect Dialect
		err     error
		want    bool
	}{
		{Postgres, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, true},
		{Postgres, &net.DNSError{Err: "no such host", IsNotFound: true}, true},
		{Postgres, context.DeadlineExceeded, true},
		{Postgres, io.ErrUnexpectedEOF, true},
		{Postgres, stateError("57P03"), true}, // it starts
		{Postgres, stateError("57P01"), true}, // it stops
		{Postgres, stateError("53300"), true}, // too many connections
		{Postgres, stateError("25006"), true}, // a standby
		{Postgres, stateError("08006"), true},
		{Postgres, stateError("40P01"), true},
		{Postgres, stateError("28000"), false}, // no such role
		{Postgres, stateError("28P01"), false}, // wrong password
		{Postgres, stateError("3D000"), false}, // no such database
		{Postgres, stateError("42501"), false}, // no privilege
		{Postgres, stateError("42P01"), false}, // no such table
		{Postgres, errors.New("server refused TLS connection"), false},
		{SQLite, codeError(5), true},
		{SQLite, codeError(261), true}, // busy recovery
		{SQLite, codeError(6), true},
		{SQLite, context.DeadlineExceeded, true},
		{SQLite, codeError(1), false},
		{SQLite, codeError(8), false},  // read-only
		{SQLite, codeError(11), false}, // corrupt
		{SQLite, codeError(14), false}, // cannot open
		{SQLite, codeError(26), false}, // not a database
	} {
		if got := tt.dialect.Unreachable(unavailable("doing", tt.err)); got != tt.want {
			t.Errorf("%s: Unreachable(%v) = %v", tt.dialect, tt.err, got)
		}
	}
}

func TestRefusedBy(t *testing.T) {
	wrapped := func(err error) error { return fmt.Errorf("doing: %w", err) }
	for _, tt := range []struct {
		dialect Dialect
		err     error
		want    bool
	}{
		{Postgres, stateError("23505"), true},
		{Postgres, stateError("22001"), true},
		{Postgres, stateError("44000"), true},
		{Postgres, stateError("P0001"), true},
		{Postgres, stateError("54000"), true}, // an index row or a tsvector that is too long
		{Postgres, stateError("MY001"), true}, // a trigger's own
		{Postgres, stateError("40002"), true}, // a constraint, although its class is that of conflicts
		{Postgres, stateError("0A000"), true},
		{Postgres, fmt.Errorf("cached plan must not change result type: %w", stateError("0A000")), false},
		{Postgres, stateError("55000"), false},
		{Postgres, stateError("55006"), false},
		{Postgres, stateError("3D000"), false}, // no such database
		{Postgres, stateError("28P01"), false}, // wrong password
		{Postgres, stateError("08006"), false},
		{Postgres, stateError("42501"), false}, // no privilege
		{Postgres, stateError("42703"), false}, // no such column
		{Postgres, stateError("25006"), false}, // read-only: a replica
		{Postgres, stateError("40001"), false},
		{Postgres, stateError("40P01"), false},
		{Postgres, stateError("53100"), false}, // disk full
		{Postgres, stateError("53300"), false}, // too many connections
		{Postgres, stateError("55P03"), false}, // lock timeout
		{Postgres, stateError("57014"), false}, // statement timeout
		{Postgres, stateError("57P01"), false},
		{Postgres, stateError("XX000"), false},
		{SQLite, codeError(19), true},
		{SQLite, codeError(2067), true},
		{SQLite, codeError(1811), true},
		{SQLite, codeError(18), true},
		{SQLite, codeError(20), true},
		{SQLite, codeError(5), false},
		{SQLite, codeError(517), false}, // busy snapshot
		{SQLite, codeError(8), false},   // read-only
		{SQLite, codeError(9), false},   // interrupted
		{SQLite, codeError(10), false},  // I/O
		{SQLite, codeError(11), false},  // corrupt
		{SQLite, codeError(13), false},  // full
		{SQLite, codeError(7), false},   // no memory
		{SQLite, codeError(26), false},  // not a database
		{SQLite, codeError(1), true},    // malformed JSON in a generated column
		{SQLite, fmt.Errorf("no such table: users: %w", codeError(1)), false},
		{SQLite, fmt.Errorf("table users has no column named email: %w", codeError(1)), false},
		{Postgres, errors.New("an error without a code"), true},
		{SQLite, errors.New("an error without a code"), true},
		{SQLite, context.Canceled, false},
		{Postgres, context.DeadlineExceeded, false},
		{Postgres, driver.ErrBadConn, false},
		{Postgres, io.ErrUnexpectedEOF, false},
		{Postgres, &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, false},
		{SQLite, sql.ErrTxDone, false},
		{SQLite, sql.ErrConnDone, false},
		{SQLite, errTaken, false},
	} {
		if got := tt.dialect.refusedBy(wrapped(tt.err)); got != tt.want {
			t.Errorf("%s: %v: got %v", tt.dialect, tt.err, got)
		}
	}
	for _, tt := range []struct {
		err  error
		want bool
	}{{stateError("57P01"), true}, {stateError("53100"), true}, {stateError("42601"), false}, {stateError("23505"), false}, {errors.New("no org today"), false}} {
		if got := Postgres.outage(wrapped(tt.err)); got != tt.want {
			t.Errorf("outage: %v: got %v", tt.err, got)
		}
	}
	if !SQLite.outage(codeError(10)) || SQLite.outage(codeError(1)) || SQLite.outage(codeError(19)) || SQLite.outage(errors.New("no org today")) {
		t.Error("outages of SQLite")
	}
	if Postgres.temporary(decideError{stateError("40001")}) {
		t.Error("decide's error is retried")
	}
}

func TestMoment(t *testing.T) {
	zone := time.FixedZone("x", 3*3600)
	m := moment{time.Date(2026, 1, 2, 3, 4, 5, 6789, zone)}
	v, err := m.Value()
	if err != nil || v != "2026-01-02T00:04:05.000006Z" {
		t.Fatal(v, err)
	}
	for _, src := range []any{v, []byte(v.(string)), time.Date(2026, 1, 2, 3, 4, 5, 6999, zone)} {
		var back moment
		if err := back.Scan(src); err != nil || !back.Equal(m.Truncate(time.Microsecond)) || back.Location() != time.UTC {
			t.Errorf("%v: %v %v", src, back, err)
		}
	}
	for _, src := range []any{"2026-01-02 03:04:05", "", "now", "2026-01-02T00:04:05Z", int64(1), 1.5} {
		if err := new(moment).Scan(src); err == nil {
			t.Errorf("%v is a time", src)
		}
	}
	if v, err := (moment{}).Value(); v != nil || err != nil {
		t.Error(v, err)
	}
	var back moment
	if err := back.Scan(nil); err != nil || !back.IsZero() {
		t.Error(back, err)
	}
}

// TestKey checks that a claim that the key's type cannot store matches no user.
func TestKey(t *testing.T) {
	const id = "9f425a8d-7efc-4768-8f23-7647a74fdf13"
	for _, tt := range []struct {
		kind      kind
		in        symbolon.UserID
		canonical symbolon.UserID // empty: no user
	}{
		{uuid, id, id},
		{uuid, "9F425A8D-7EFC-4768-8F23-7647A74FDF13", id},
		{uuid, "{9f425a8d-7efc-4768-8f23-7647a74fdf13}", ""},
		{uuid, "00000000-0000-0000-0000-000000000000", ""},
		{uuid, "42", ""},
		{text, "9F425A8D-7EFC-4768-8F23-7647A74FDF13", "9F425A8D-7EFC-4768-8F23-7647A74FDF13"},
		{text, "usr_42", "usr_42"},
		{text, "", ""},
		{text, "a\x00", ""},
		{text, "\xff", ""},
		{int8, "42", "42"},
		{int8, "-42", "-42"},
		{int8, "042", ""},
		{int8, "+42", ""},
		{int8, " 42", ""},
		{int8, "4e1", ""},
		{int8, "9223372036854775807", "9223372036854775807"},
		{int8, "9223372036854775808", ""},
		{int4, "2147483647", "2147483647"},
		{int4, "2147483648", ""},
		{int2, "32768", ""},
	} {
		s := shape{id: column{kind: tt.kind}}
		got, _, ok := s.key(tt.in)
		if got != tt.canonical || ok != (tt.canonical != "") {
			t.Errorf("%v %q: got %q %v", tt.kind, tt.in, got, ok)
		}
	}
}

// TestAddIdentityColumnGivesUp checks that AddIdentityColumn gives up while another
// transaction locks the table, so that other transactions do not wait behind it.
func TestAddIdentityColumnGivesUp(t *testing.T) {
	ctx := t.Context()
	db, err := sql.Open("pgx", symbolontest.SharedPostgres(t).NewDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "create table accounts (id bigserial primary key)"); err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(ctx, "lock table accounts in access share mode"); err != nil {
		t.Fatal(err)
	}
	defer func(was time.Duration) { tableTimeout = was }(tableTimeout)
	tableTimeout = 50 * time.Millisecond
	s := &Store{DB: db, Dialect: Postgres, Users: Users{Table: "accounts", NewID: symbolon.ByDatabase}}
	if _, err := s.AddIdentityColumn(ctx); !errors.Is(err, ErrTableBusy) {
		t.Errorf("%v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if ran, err := s.AddIdentityColumn(ctx); err != nil || len(ran) != 2 {
		t.Errorf("%q %v", ran, err)
	}
	var timeout string
	if err := db.QueryRowContext(ctx, "show lock_timeout").Scan(&timeout); err != nil || timeout != "0" {
		t.Errorf("the connection keeps its setting: %s %v", timeout, err)
	}
}

// TestAddIdentityColumnWaits: the build of the index waits for transactions that write, as
// nobody queues behind it.
func TestAddIdentityColumnWaits(t *testing.T) {
	ctx := t.Context()
	db, err := sql.Open("pgx", symbolontest.SharedPostgres(t).NewDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "create table accounts (id bigserial primary key, ory_identity_id uuid)"); err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(ctx, "insert into accounts default values"); err != nil {
		t.Fatal(err)
	}
	defer func(was time.Duration) { tableTimeout = was }(tableTimeout)
	tableTimeout = 20 * time.Millisecond
	time.AfterFunc(10*tableTimeout, func() { _ = tx.Commit() })
	s := &Store{DB: db, Dialect: Postgres, Users: Users{Table: "accounts", NewID: symbolon.ByDatabase}}
	if ran, err := s.AddIdentityColumn(ctx); err != nil || len(ran) != 1 {
		t.Errorf("%q %v", ran, err)
	}
}
