package library

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/internal/answer"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// replica is one process of an application that shares Kratos and the database with
// others.
type replica struct {
	*session.Verifier
	client *ory.Client
	close  func()
}

// listener is a Broadcast that says when its replica has heard what was told before its
// start, which voids the answers that it has.
type listener struct {
	*sqlstore.Replicas
	calls  int
	listen chan struct{}
}

func (l *listener) Hear(ctx context.Context) ([]string, error) {
	if l.calls++; l.calls == 2 {
		close(l.listen)
	}
	return l.Replicas.Hear(ctx)
}

// newReplica starts one, and returns when it hears the others. set may change the
// verifier before its first request.
func newReplica(t *testing.T, kratos *symbolontest.Kratos, db *database, set func(*session.Verifier)) *replica {
	t.Helper()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	driver := map[sqlstore.Dialect]string{sqlstore.SQLite: "sqlite", sqlstore.Postgres: "pgx"}[db.dialect]
	store := &sqlstore.Store{DB: db.mustOpen(driver, db.dsn), Dialect: db.dialect}
	store.DB.SetMaxOpenConns(8)
	client := &ory.Client{PublicURL: kratos.PublicURL, AdminURL: kratos.AdminURL, Load: 1}
	linker := &link.Linker{Ory: client, Store: store, Log: quiet, BackReference: link.BackReference{Write: link.WriteNone}, ProofGap: 50 * time.Millisecond}
	shared := &listener{Replicas: &sqlstore.Replicas{Store: store}, listen: make(chan struct{})}
	v := &session.Verifier{Linker: linker, Log: quiet, Memory: shared, Broadcast: shared}
	if set != nil {
		set(v)
	}
	if err := v.Check(); err != nil {
		t.Fatal(err)
	}
	r := &replica{Verifier: v, client: client, close: sync.OnceFunc(func() {
		v.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = linker.Close(ctx)
		client.CloseIdleConnections()
	})}
	t.Cleanup(r.close)
	select {
	case <-shared.listen:
	case <-time.After(time.Minute):
		t.Fatal("a replica does not hear the others")
	}
	return r
}

// status is what a request with this token is answered.
func (r *replica) status(token string) int {
	req := httptest.NewRequest(http.MethodGet, "/", nil)
	req.Header.Set("X-Session-Token", token)
	if _, err := r.Authenticate(req); err != nil {
		return answer.Of(err).Status
	}
	return http.StatusOK
}

// said is one answer.
type said struct {
	came, left time.Time // the request, the answer
	status     int
}

// diary is what a session was answered.
type diary struct {
	mu   sync.Mutex
	said []said
}

func (d *diary) ask(r *replica, token string) {
	came := time.Now()
	status := r.status(token)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.said = append(d.said, said{came, time.Now(), status})
}

// count counts the answers of a status that lie within a time, from the request to
// the answer.
func (d *diary) count(status int, from, to time.Time) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.said {
		if s.status == status && !s.came.Before(from) && s.left.Before(to) {
			n++
		}
	}
	return n
}

// last is when the last request came that was answered so.
func (d *diary) last(status int) (at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.said {
		if s.status == status && s.came.After(at) {
			at = s.came
		}
	}
	return at
}

// firstAfter is when the first such answer was there after a moment.
func (d *diary) firstAfter(status int, after time.Time) (at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.said {
		if s.status == status && s.left.After(after) && (at.IsZero() || s.left.Before(at)) {
			at = s.left
		}
	}
	return at
}
