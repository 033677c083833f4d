package sqlstore

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
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
// each verifier, because a Replicas remembers which purges its verifier has received. Set
// the fields before the first call. Many goroutines may call every method except Hear.
type Replicas struct {
	Store *Store

	// Project separates the purges of several Ory projects in one database. Defaults to
	// "default".
	Project string

	// Wake, if set, signals that there may be new purges. On Postgres a trigger notifies
	// the channel "symbolon_purges". A program that LISTENs to it sends to Wake and so
	// receives purges at once. Without Wake purges are received within half a second.
	Wake <-chan struct{}

	mu    sync.Mutex
	swept struct{ sessions, purges time.Time }

	heard map[int64]time.Time // the received numbers above floor, with the time of receipt
	floor int64
	begun bool
}

// listenEvery is how often the table of purges is read without a signal from Wake.
const listenEvery = 500 * time.Millisecond

// outOfOrder is how much later a purge may be committed than a purge with a higher number. The
// time is long enough, because each purge is a short transaction.
const outOfOrder = 10 * time.Second

// purgesKept is how long purges are kept for replicas that were disconnected. It is longer
// than the time for which a cached answer is valid.
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

// today returns the number of the current day.
func (r *Replicas) today() int64 { return r.Store.now().Unix() / (24 * 60 * 60) }

// Remember stores the session of each credential, for at least a day.
func (r *Replicas) Remember(ctx context.Context, sessions map[[32]byte]string) error {
	// Sorted, so that replicas cannot deadlock.
	keys := slices.SortedFunc(maps.Keys(sessions), func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) })
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

const seenSessions = `select cast(session_id as text), seen_day from symbolon.sessions where seen_day >= $1`

// SeenSessions reads the sessions that the replicas have seen, from the day of the time since
// until now. day returns the last day on which a session was seen, in days since 1970, or 0.
// from is the first day that is known completely. Rows of earlier days may have been deleted.
// A session needs about 50 bytes of memory.
func (r *Replicas) SeenSessions(ctx context.Context, since time.Time) (day func(session string) int64, from int64, err error) {
	days := map[[16]byte]int64{}
	_, err = readAll(ctx, r.Store, "read the sessions that were seen", seenSessions, []any{since.Unix() / (24 * 60 * 60)}, func(row scanner) (none struct{}, err error) {
		var id string
		var day int64
		err = row.Scan(&id, &day)
		key := sessionKey(id)
		days[key] = max(days[key], day)
		return none, err
	})
	return func(session string) int64 { return days[sessionKey(session)] }, r.today() - 1, err
}

// sessionKey returns the bytes of a session's ID, which is a UUID in lower case.
func sessionKey(id string) (key [16]byte) {
	_, _ = hex.Decode(key[:], []byte(strings.ReplaceAll(id, "-", "")))
	return key
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

// Hear returns the purges since the previous call. If there are none, it waits for up to
// half a second and returns none. The first call returns at once, with the purges of the
// last two hours.
func (r *Replicas) Hear(ctx context.Context) ([]string, error) {
	if err := r.Store.setup(); err != nil {
		return nil, err
	}
	if !r.begun {
		db := session{store: r.Store}
		if err := db.queryRow(ctx, firstPurge, moment{r.Store.now().Add(-purgesKept)}).Scan(&r.floor); err != nil {
			return nil, unavailable("begin to hear purges", err)
		}
		// Purges with lower numbers may be committed later. Receiving a purge twice is
		// harmless.
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

// read returns the purges that were not received yet. It reads the purges of the last seconds
// again, because their numbers may be committed out of order.
func (r *Replicas) read(ctx context.Context) (ids []string, err error) {
	now := time.Now()
	for n, at := range r.heard {
		if now.Sub(at) > outOfOrder {
			r.floor = max(r.floor, n)
		}
	}
	maps.DeleteFunc(r.heard, func(n int64, _ time.Time) bool { return n <= r.floor })
	var all []purge
	for after, more := r.floor, true; more; {
		page, err := collect(ctx, session{store: r.Store}.query, hearPurges, []any{r.project(), after}, scanPurge)
		if err != nil {
			return nil, unavailable("hear purges", err)
		}
		all = append(all, page...)
		if more = len(page) == purgesPage; more {
			after = page[len(page)-1].number
		}
	}
	for _, p := range all {
		if _, known := r.heard[p.number]; !known {
			r.heard[p.number] = now
			ids = append(ids, p.id)
		}
	}
	return ids, nil
}

type purge struct {
	number int64
	id     string // the ID of an identity or a session
}

// purgesPage is the limit in hearPurges.
const purgesPage = 10000

func scanPurge(row scanner) (p purge, err error) {
	err = row.Scan(&p.number, &p.id)
	return p, err
}

func (r *Replicas) project() string {
	return cmp.Or(r.Project, symbolon.DefaultProject)
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

// insert writes rows in pieces.
func (r *Replicas) insert(ctx context.Context, doing, text string, rows [][]any) error {
	if len(rows) == 0 {
		return nil
	}
	head, tail, _ := strings.Cut(text, "{rows}")
	perRow := len(rows[0])
	return r.Store.inTx(ctx, doing, func(ctx context.Context, db session) error {
		return inPieces(len(rows), perRow, func(from, to int) error {
			m := r.Store.many(head, to-from, perRow)
			for i, row := range rows[from:to] {
				m.row(i, row...)
			}
			m.WriteString(tail)
			_, err := db.exec(ctx, m.String(), m.args...)
			return err
		})
	})
}
