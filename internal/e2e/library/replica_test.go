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

// replica is one process of an application. It shares Kratos and the database with other
// replicas.
type replica struct {
	*session.Verifier
	client *ory.Client
	close  func()
}

// listener is a Broadcast that reports when its replica has received all messages from
// before its start. They make its answers invalid.
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

// newReplica starts a replica and returns when it receives the others' messages. set may
// change the verifier before its first request.
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
		t.Fatal("a replica does not receive the others' messages")
	}
	return r
}

// status returns the status of a request with this token.
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
	came, left time.Time // the time of the request and of the answer
	status     int
}

// diary has the answers for one session.
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

// count returns the number of answers with this status whose request and answer are
// within this time.
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

// last returns the time of the last request with this answer.
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

// firstAfter returns the time of the first such answer after a moment.
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
