package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"modernc.org/sqlite"

	"github.com/symbolon-id/symbolon/sqlstore"
)

// loss is a fault of a commit between a program and its database.
type loss int

const (
	none       loss = iota
	answerLost      // executed, then the connection breaks
	neverSent       // the connection breaks before the commit is sent
	sentLate        // the connection breaks, and the commit is executed later
	slow            // the answer is slow
	hung            // no answer; Postgres only
	outage          // executed, and the database is away until the next call of during
)

const lateness = 150 * time.Millisecond

// lossy is a connection to a database that loses commits.
type lossy struct {
	mu    sync.Mutex
	fault func(n int) loss // for the n-th commit, from 0
	n     int
	away  bool
}

// during starts to lose commits.
func (l *lossy) during(fault func(n int) loss) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault, l.n, l.away = fault, 0, false
}

func (l *lossy) isAway() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.away
}

func (l *lossy) next() loss {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault == nil {
		return none
	}
	l.n++
	how := l.fault(l.n - 1)
	l.away = l.away || how == outage
	return how
}

// commits returns the number of commits since during.
func (l *lossy) commits() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

func always(what loss) func(int) loss { return func(int) loss { return what } }

// first gives the first commits these faults.
func first(losses ...loss) func(int) loss {
	return func(n int) loss {
		if n < len(losses) {
			return losses[n]
		}
		return none
	}
}

// lossy opens a lossy pool on the same database. On Postgres it is a pool of pgxtx.OpenDB.
func (db database) lossy(t testing.TB) (*sql.DB, *lossy) {
	t.Helper()
	return db.lossyPool(t, func(dsn string) *sql.DB { return pgxPool(t, dsn) })
}

// lossyAgain opens another lossy pool. On Postgres it is a pool of the driver.
func (db database) lossyAgain(t testing.TB) (*sql.DB, *lossy) {
	t.Helper()
	return db.lossyPool(t, func(dsn string) *sql.DB {
		pool, err := sql.Open("pgx", dsn)
		if err != nil {
			t.Fatal(err)
		}
		return pool
	})
}

func (db database) lossyPool(t testing.TB, postgres func(dsn string) *sql.DB) (*sql.DB, *lossy) {
	t.Helper()
	l := &lossy{}
	var pool *sql.DB
	if db.dialect == sqlstore.SQLite {
		pool = sql.OpenDB(lossyConnector{dsn: db.dsn, lossy: l})
	} else {
		u, err := url.Parse(db.dsn)
		if err != nil {
			t.Fatal(err)
		}
		u.Host = l.relay(t, u.Host)
		pool = postgres(u.String())
	}
	pool.SetMaxOpenConns(16)
	t.Cleanup(func() { _ = pool.Close() })
	return pool, l
}

// relay forwards everything to a Postgres, except lost commits.
func (l *lossy) relay(t testing.TB, address string) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { _ = listener.Close(); all.Wait() })
	all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { l.serve(client, address) })
		}
	})
	return listener.Addr().String()
}

func (l *lossy) serve(client net.Conn, address string) {
	defer client.Close()
	server, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	held := make(chan loss, 1) // the fault of the next answer
	var back sync.WaitGroup
	defer back.Wait()
	defer server.Close()
	back.Go(func() {
		defer client.Close()
		buffer := make([]byte, 64<<10)
		for {
			n, err := server.Read(buffer)
			select {
			case how := <-held:
				switch how {
				case slow:
					time.Sleep(lateness)
				case hung:
					_, _ = io.Copy(io.Discard, server) // until the client disconnects
					return
				default:
					return
				}
			default:
			}
			if _, lost := client.Write(buffer[:n]); err != nil || lost != nil {
				return
			}
		}
	})
	statements := prepared{}
	for begun := false; ; begun = true {
		message, err := readMessage(client, begun)
		if err != nil || l.isAway() {
			return
		}
		if begun && statements.commits(message) {
			if message, err = readToSync(client, message); err != nil {
				return
			}
			switch how := l.next(); how {
			case neverSent:
				return
			case sentLate:
				_ = client.Close()
				time.Sleep(lateness)
				held <- how
			case answerLost, outage, slow, hung:
				held <- how
			}
		}
		if _, err := server.Write(message); err != nil {
			return
		}
	}
}

// readMessage reads a message of Postgres' protocol. The first message has no type.
func readMessage(client io.Reader, typed bool) ([]byte, error) {
	header := make([]byte, 5)
	head := header
	if !typed {
		head = header[1:]
	}
	if _, err := io.ReadFull(client, head); err != nil {
		return nil, err
	}
	message := make([]byte, len(head)-4+int(binary.BigEndian.Uint32(header[1:])))
	copy(message, head)
	_, err := io.ReadFull(client, message[len(head):])
	return message, err
}

// readToSync reads all that belongs to a message, because Postgres answers it as a whole.
func readToSync(client io.Reader, message []byte) ([]byte, error) {
	const query, sync = 'Q', 'S'
	for kind := message[0]; kind != query && kind != sync; {
		next, err := readMessage(client, true)
		if err != nil {
			return nil, err
		}
		kind, message = next[0], append(message, next...)
	}
	return message, nil
}

// prepared are the prepared statements of a connection, by name. The value says whether the
// statement is a commit.
type prepared map[string]bool

// commits reports whether a message commits a transaction.
func (p prepared) commits(message []byte) bool {
	parts := strings.SplitN(string(message[5:]), "\x00", 3)
	switch message[0] {
	case 'Q':
		return strings.EqualFold(parts[0], "commit")
	case 'P':
		p[parts[0]] = strings.EqualFold(parts[1], "commit")
	case 'B':
		return p[parts[1]]
	}
	return false
}

// lossyConnector does the same for SQLite.
type lossyConnector struct {
	dsn   string
	lossy *lossy
}

func (c lossyConnector) Driver() driver.Driver { return &sqlite.Driver{} }

func (c lossyConnector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.Driver().Open(c.dsn)
	if err != nil {
		return nil, err
	}
	able, ok := conn.(sqliteConn)
	if !ok {
		return nil, errors.New("the driver's connection lacks a needed method")
	}
	return lossyConn{able, c.lossy}, nil
}

type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
}

type lossyConn struct {
	sqliteConn
	lossy *lossy
}

func (c lossyConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	if c.lossy.isAway() {
		return nil, errBroken
	}
	tx, err := c.sqliteConn.BeginTx(ctx, o)
	return lossyTx{tx, c.lossy}, err
}

type lossyTx struct {
	driver.Tx
	lossy *lossy
}

var errBroken = errors.New("the connection broke")

func (tx lossyTx) Commit() error {
	switch tx.lossy.next() {
	case neverSent:
		return errors.Join(errBroken, tx.Rollback())
	case answerLost, sentLate, outage:
		return errors.Join(errBroken, tx.Tx.Commit())
	case slow:
		time.Sleep(lateness)
	}
	return tx.Tx.Commit()
}
