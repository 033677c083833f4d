package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon"
)

// Replicas shares session data between the replicas of a program through the database. It
// implements session.Memory and session.Broadcast.
//
//	shared := &sqlstore.Replicas{Store: store}
//	auth := &session.Verifier{Linker: linker, Memory: shared, Broadcast: shared}
//
// On SQLite the replicas are the processes that open the same file. Make one Replicas for
// each verifier, because it remembers which purges this verifier has received. Set the
// fields before the first call. Many goroutines may call every method except Hear.
type Replicas struct {
	Store *Store

	// Project separates the purges of several Ory projects in one database. Defaults to
	// "default".
	Project string

	// Wake, if set, signals that there may be new purges. On Postgres a trigger notifies the
	// channel "symbolon_purges". A program that LISTENs to it sends to Wake and so receives
	// purges at once. Without Wake they are received within half a second.
	Wake <-chan struct{}

	mu    sync.Mutex
	swept struct{ sessions, purges time.Time }

	heard map[int64]time.Time // received numbers above floor, with the time of receipt
	floor int64
	begun bool
}

// listenEvery is how often the table of purges is read without a signal from Wake.
const listenEvery = 500 * time.Millisecond

// outOfOrder is how much later a purge may be committed than a purge with a higher number.
// Each purge is a short transaction.
const outOfOrder = 10 * time.Second

// purgesKept is how long purges are kept for replicas that were disconnected. It is longer
// than any cached answer is valid.
const purgesKept = 2 * time.Hour

const (
	rememberSessions = `
insert into symbolon.sessions (credential, session_id, seen_day) values {rows}
on conflict (credential) do update set session_id = excluded.session_id, seen_day = excluded.seen_day
where symbolon.sessions.seen_day < excluded.seen_day or symbolon.sessions.session_id <> excluded.session_id`

	recallSession = `select cast(session_id as text) from symbolon.sessions where credential = $1 and seen_day >= $2`

	sweepSessions = `
delete from symbolon.sessions where credential in (select credential from symbolon.sessions where seen_day < $1 limit 10000)`

	tellPurges = `insert into symbolon.purges (project, what, at) values {rows}`

	hearPurges = `select id, what from symbolon.purges where project = $1 and id > $2 order by id limit 10000`

	firstPurge = `select coalesce(min(id), (select coalesce(max(id), 0) from symbolon.purges)) from symbolon.purges where at >= $1`

	sweepPurges = `delete from symbolon.purges where at < $1`
)

// today is the number of a day.
func (r *Replicas) today() int64 { return r.Store.now().Unix() / (24 * 60 * 60) }

// Remember stores the session of each credential, for at least a day.
func (r *Replicas) Remember(ctx context.Context, sessions map[[32]byte]string) error {
	keys := make([][32]byte, 0, len(sessions))
	for k := range sessions {
		keys = append(keys, k)
	}
	// Sorted, so that replicas cannot deadlock.
	slices.SortFunc(keys, func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) })
	day := r.today()
	rows := make([][]any, len(keys))
	for i, k := range keys {
		rows[i] = []any{k[:], sessions[k], day}
	}
	if err := r.insert(ctx, "remember sessions", rememberSessions, rows); err != nil {
		return err
	}
	if r.due(&r.swept.sessions, time.Hour) {
		return r.sweep(ctx, "forget old sessions", sweepSessions, day-1)
	}
	return nil
}

// Recall returns the session of a credential, or "" if no replica has seen it today or
// yesterday.
func (r *Replicas) Recall(ctx context.Context, credential [32]byte) (string, error) {
	if err := r.Store.setup(); err != nil {
		return "", err
	}
	var id string
	err := session{store: r.Store}.queryRow(ctx, recallSession, credential[:], r.today()-1).Scan(&id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", nil
	case err != nil:
		return "", unavailable("recall a session", err)
	}
	return id, nil
}

// Tell sends purges of these identities and sessions to every replica.
func (r *Replicas) Tell(ctx context.Context, ids []string) error {
	at := moment{r.Store.now()}
	rows := make([][]any, len(ids))
	for i, id := range ids {
		rows[i] = []any{r.project(), id, at}
	}
	if err := r.insert(ctx, "tell replicas of purges", tellPurges, rows); err != nil {
		return err
	}
	if r.due(&r.swept.purges, time.Minute) {
		return r.sweep(ctx, "forget old purges", sweepPurges, moment{at.Add(-purgesKept)})
	}
	return nil
}

// Hear returns the purges since the previous call, or nothing after half a second. The first
// call returns at once, with the purges of the last two hours.
func (r *Replicas) Hear(ctx context.Context) ([]string, error) {
	if err := r.Store.setup(); err != nil {
		return nil, err
	}
	if !r.begun {
		db := session{store: r.Store}
		if err := db.queryRow(ctx, firstPurge, moment{r.Store.now().Add(-purgesKept)}).Scan(&r.floor); err != nil {
			return nil, unavailable("begin to hear purges", err)
		}
		// Lower numbers may be committed later. To receive a purge twice is harmless.
		r.floor, r.begun, r.heard = max(0, r.floor-100), true, map[int64]time.Time{}
		return r.read(ctx)
	}
	t := time.NewTimer(listenEvery)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.Wake:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return r.read(ctx)
}

// read returns the purges that were not received yet. It reads the numbers of the last
// seconds again, because they may be committed out of order.
func (r *Replicas) read(ctx context.Context) (ids []string, err error) {
	now := time.Now()
	for n, at := range r.heard {
		if now.Sub(at) > outOfOrder {
			r.floor = max(r.floor, n)
		}
	}
	for n := range r.heard {
		if n <= r.floor {
			delete(r.heard, n)
		}
	}
	fresh := map[int64]string{}
	for after, more := r.floor, true; more; {
		if after, more, err = r.page(ctx, after, fresh); err != nil {
			return nil, unavailable("hear purges", err)
		}
	}
	for n, id := range fresh {
		r.heard[n] = now
		ids = append(ids, id)
	}
	return ids, nil
}

func (r *Replicas) page(ctx context.Context, after int64, fresh map[int64]string) (last int64, more bool, err error) {
	rows, err := session{store: r.Store}.query(ctx, hearPurges, r.project(), after)
	if err != nil {
		return after, false, err
	}
	defer rows.Close()
	n, last := 0, after
	for ; rows.Next(); n++ {
		var what string
		if err := rows.Scan(&last, &what); err != nil {
			return after, false, err
		}
		if _, known := r.heard[last]; !known {
			fresh[last] = what
		}
	}
	return last, n == 10000, rows.Err()
}

func (r *Replicas) project() string {
	if r.Project == "" {
		return symbolon.DefaultProject
	}
	return r.Project
}

// due reports whether a periodic task of this process is due.
func (r *Replicas) due(last *time.Time, every time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if !last.IsZero() && now.Sub(*last) < every {
		return false
	}
	*last = now
	return true
}

// sweep deletes in small steps, so that other writers do not wait long.
func (r *Replicas) sweep(ctx context.Context, doing, text string, before any) error {
	for {
		var gone int64
		err := r.Store.inTx(ctx, doing, func(ctx context.Context, db session) (err error) {
			gone, err = db.exec(ctx, text, before)
			return err
		})
		if err != nil || gone < 10000 || text == sweepPurges {
			return err
		}
	}
}

// insert writes rows by statements of 100, 10 and 1 rows, so that there are few different
// statements.
func (r *Replicas) insert(ctx context.Context, doing, text string, rows [][]any) error {
	if len(rows) == 0 {
		return nil
	}
	return r.Store.inTx(ctx, doing, func(ctx context.Context, db session) error {
		rest := rows
		for _, n := range [...]int{100, 10, 1} {
			full := strings.Replace(text, "{rows}", places(n, len(rows[0])), 1)
			for ; len(rest) >= n; rest = rest[n:] {
				if _, err := db.exec(ctx, full, slices.Concat(rest[:n]...)...); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// places are the placeholders of rows: ($1, $2), ($3, $4).
func places(rows, columns int) string {
	var b strings.Builder
	for i := range rows * columns {
		switch {
		case i == 0:
			b.WriteString("(")
		case i%columns == 0:
			b.WriteString("), (")
		default:
			b.WriteString(", ")
		}
		b.WriteString("$" + strconv.Itoa(i+1))
	}
	b.WriteString(")")
	return b.String()
}
