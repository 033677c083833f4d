package doctor_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/doctor"
	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/mint"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// journaled is an installation with a fake Ory, in which doctors examine by signing up.
type journaled struct {
	t     *testing.T
	ory   *fakeory.Ory
	store *sqlstore.Store
	live  func() map[string]doctor.Result
}

func newJournaled(t *testing.T, dialect sqlstore.Dialect) *journaled {
	t.Helper()
	db := openMigrated(t, dialect)
	store := &sqlstore.Store{DB: db, Dialect: dialect}
	var mux http.ServeMux
	server := httptest.NewServer(&mux)
	t.Cleanup(server.Close)
	var file bytes.Buffer
	actions := hooks.Actions{URL: server.URL, Keys: hooks.DeriveKeys([]symbolon.Secret{secret})}
	if err := actions.WriteKratos(&file); err != nil {
		t.Fatal(err)
	}
	configured, err := fakeory.HooksFromKratos(file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	fake := fakeory.Start(t, fakeory.Config{Hooks: configured})
	client := &ory.Client{PublicURL: fake.PublicURL, AdminURL: fake.AdminURL}
	t.Cleanup(client.CloseIdleConnections)
	linker := &link.Linker{Ory: client, Store: store, Secrets: []symbolon.Secret{secret}, Log: slog.New(slog.DiscardHandler)}
	t.Cleanup(func() { _ = linker.Close(t.Context()) })
	(&hooks.Handler{Linker: linker}).Mount(&mux)
	return &journaled{t: t, ory: fake, store: store, live: func() map[string]doctor.Result {
		t.Helper()
		d := &doctor.Doctor{Ory: client, Actions: actions, Table: table{store}, Ledger: store, OnIdentityDeleted: symbolon.KeepRow,
			HTTP: server.Client(), Live: &doctor.Live{Patience: time.Minute, Minted: mint.NewMinter("default", secret).Minted}}
		return examine(t, d)
	}}
}

// killed records an examination that was killed while it had these test persons.
func (j *journaled) killed(until time.Time, persons string) symbolon.Run {
	j.t.Helper()
	run := symbolon.Run{ID: fmt.Sprint("killed", time.Now().UnixNano()), Project: "default", Kind: "doctor", State: symbolon.RunGoing,
		LeaseUntil: until.UTC().Truncate(time.Microsecond), Checkpoint: json.RawMessage(persons)}
	if err := j.store.StartRun(j.t.Context(), run); err != nil {
		j.t.Fatal(err)
	}
	return run
}

func (j *journaled) open() string {
	j.t.Helper()
	run, err := j.store.UnfinishedRun(j.t.Context(), "default", "doctor")
	if errors.Is(err, symbolon.ErrNotFound) {
		return ""
	}
	if err != nil {
		j.t.Fatal(err)
	}
	return string(run.Checkpoint)
}

// TestLiveTakesOver examines after an examination that was killed. It deletes the identities
// with the recorded word and nobody else, and keeps the record of a person who may still
// appear at Ory.
func TestLiveTakesOver(t *testing.T) {
	const word = "symbolon-doctor-abcdefghijklmnopqrstuvwxyz"
	now, old := time.Now().UTC().Format(time.RFC3339), time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	person := func(names, identity, at string) string {
		return fmt.Sprintf(`[{"word":%q,"names":[%q],"identity_id":%q,"at":%q}]`, word, names, identity, at)
	}
	for _, dialect := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.Postgres} {
		t.Run(string(dialect), func(t *testing.T) {
			j := newJournaled(t, dialect)
			for _, test := range []struct {
				name    string
				email   string // of the identity that Ory has; empty: none
				persons func(id string) string
				deleted bool
				open    bool // the record stays open
			}{
				{"found by its word", word + "@doctor.invalid", func(string) string { return person(word+"@doctor.invalid", "", now) }, true, false},
				{"found by its ID", word + "@doctor.invalid", func(id string) string { return person("", id, now) }, true, false},
				{"not yet at Ory", "", func(string) string { return person(word+"@doctor.invalid", "", now) }, false, true},
				{"never at Ory", "", func(string) string { return person(word+"@doctor.invalid", "", old) }, false, false},
				{"somebody else has the name", "ada@example.com", func(string) string { return person("ada@example.com", "", old) }, false, false},
				{"no record", "", func(string) string { return "" }, false, false},
				{"a broken record", "", func(string) string { return "{" }, false, false},
			} {
				id := ""
				if test.email != "" {
					p, err := j.ory.Register(t.Context(), test.email, "correct horse battery", "Test")
					if err != nil {
						t.Fatal(err)
					}
					id = p.IdentityID
				}
				j.killed(time.Now().Add(-time.Second), test.persons(id))
				got := j.live()
				r := got["live.cleanup"]
				if said := strings.Contains(r.Is, "interrupted examinations that were deleted too: 1"); r.Verdict != doctor.OK || said != test.deleted {
					t.Errorf("%s: %+v", test.name, r)
				}
				if test.email != "" && j.ory.HasIdentity(id) == test.deleted {
					t.Errorf("%s: the identity is deleted: %t", test.name, !test.deleted)
				}
				if open := j.open(); (open != "") != test.open {
					t.Errorf("%s: open record %q", test.name, open)
				}
				if test.open {
					if _, err := j.store.DB.Exec("delete from " + map[sqlstore.Dialect]string{sqlstore.SQLite: "symbolon_", sqlstore.Postgres: "symbolon."}[dialect] + "runs"); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

// TestLiveWaits examines while another doctor examines. It waits for the end of the other
// examination, and does not touch the other test person.
func TestLiveWaits(t *testing.T) {
	j := newJournaled(t, sqlstore.SQLite)
	p, err := j.ory.Register(t.Context(), "symbolon-doctor-other@doctor.invalid", "correct horse battery", "Test")
	if err != nil {
		t.Fatal(err)
	}
	run := j.killed(time.Now().Add(time.Hour), fmt.Sprintf(`[{"word":"symbolon-doctor-other","names":[],"identity_id":%q}]`, p.IdentityID))
	ended := make(chan error, 1)
	time.AfterFunc(300*time.Millisecond, func() {
		done := run
		done.State, done.EndedAt = symbolon.RunDone, time.Now()
		ended <- j.store.SaveRun(t.Context(), run, done)
	})
	got := j.live()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if r := got["live.cleanup"]; r.Verdict != doctor.OK || !j.ory.HasIdentity(p.IdentityID) {
		t.Errorf("%+v; Ory has the other person: %t", r, j.ory.HasIdentity(p.IdentityID))
	}
	if open := j.open(); open != "" {
		t.Errorf("open record %q", open)
	}
}
