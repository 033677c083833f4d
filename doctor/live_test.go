package doctor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
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

func (w *installation) liveDoctor() *doctor.Doctor {
	d := w.doctor()
	d.Live = &doctor.Live{Patience: time.Minute, Minted: mint.NewMinter("default", secret, former).Minted}
	return d
}

// TestLiveOnPostgres checks that a valid installation has no problem on Postgres, and
// that no test person is left.
func TestLiveOnPostgres(t *testing.T) {
	w := install(t, sqlstore.Postgres)
	before := w.traces()
	d := w.liveDoctor()
	got := examine(t, d)
	expect(t, got, nil)
	for name, r := range got {
		if r.Verdict == doctor.Skipped {
			t.Errorf("%s was skipped: %s", name, r.Is)
		}
	}
	w.leavesNoTrace(before)
}

// TestLiveOnNetwork checks that a valid installation has no problem under the limits of
// Ory Network, with one write at a time.
func TestLiveOnNetwork(t *testing.T) {
	db := openMigrated(t, sqlstore.SQLite)
	newDoctor := withFakeOry(t, &sqlstore.Store{DB: db, Dialect: sqlstore.SQLite}, hooks.Actions{}, fakeory.Config{Network: true})
	for range 2 {
		expect(t, examine(t, newDoctor()), nil)
	}
}

// TestLiveWithDrawnIDs checks that an installation has no problem if Postgres makes the IDs, and
// that the doctor verifies the proof of the drawn ID.
func TestLiveWithDrawnIDs(t *testing.T) {
	db := openMigrated(t, sqlstore.Postgres)
	if _, err := db.Exec(`create table accounts (id bigserial primary key, ory_identity_id uuid unique)`); err != nil {
		t.Fatal(err)
	}
	users := sqlstore.Users{Table: "accounts", NewID: sqlstore.ByDatabase}
	newDoctor := withFakeOry(t, &sqlstore.Store{DB: db, DrawDB: db, Dialect: sqlstore.Postgres, Users: users},
		hooks.Actions{NewID: sqlstore.ByDatabase, Draws: true}, fakeory.Config{})
	got := examine(t, newDoctor())
	expect(t, got, nil)
	if r := got["live.reserve"]; r.Verdict != doctor.OK {
		t.Errorf("live.reserve: %s, %s", r.Verdict, r.Is)
	}
	d := newDoctor()
	d.Live.Reserved = mint.NewMinter("default", anders).Reserved
	expect(t, examine(t, d), wrong("live.reserve"))
}

// withFakeOry connects a store to a fake Ory by the hooks. The result makes doctors of this
// installation.
func withFakeOry(t *testing.T, store *sqlstore.Store, actions hooks.Actions, config fakeory.Config) func() *doctor.Doctor {
	t.Helper()
	var mux http.ServeMux
	server := httptest.NewServer(&mux)
	t.Cleanup(server.Close)
	var file bytes.Buffer
	actions.URL, actions.Keys = server.URL, hooks.DeriveKeys([]symbolon.Secret{secret})
	if err := actions.WriteKratos(&file); err != nil {
		t.Fatal(err)
	}
	var err error
	if config.Hooks, err = fakeory.HooksFromKratos(file.Bytes()); err != nil {
		t.Fatal(err)
	}
	fake := fakeory.Start(t, config)
	newClient := func() *ory.Client {
		client := &ory.Client{PublicURL: fake.PublicURL, AdminURL: fake.AdminURL}
		t.Cleanup(client.CloseIdleConnections)
		return client
	}
	linker := &link.Linker{Ory: newClient(), Store: store, Secrets: []symbolon.Secret{secret}, Log: slog.New(slog.DiscardHandler)}
	t.Cleanup(func() {
		if err := linker.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	(&hooks.Handler{Linker: linker}).Mount(&mux)
	kratos, err := hooks.ReadKratos(file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	minter := mint.NewMinter("default", secret)
	return func() *doctor.Doctor {
		return &doctor.Doctor{Ory: newClient(), Actions: actions, Kratos: kratos, Table: table{store}, Ledger: store, OnIdentityDeleted: symbolon.KeepRow,
			HTTP: server.Client(), Live: &doctor.Live{Patience: time.Minute, Minted: minter.Minted, Reserved: minter.Reserved}}
	}
}

// unsigned lists the checks that are unknown if nobody can sign up.
func unsigned(v doctor.Verdict) map[string]doctor.Verdict {
	return map[string]doctor.Verdict{"live.registration": v, "live.reserve": doctor.Unknown, "live.link": doctor.Unknown}
}

// testLive adds faults to a running Kratos, and restarts it for each fault in its
// configuration. No test person is ever left.
func testLive(t *testing.T, w *installation) {
	running := string(w.configuration(nil))
	reconfigure := func(t *testing.T, change func(self map[string]any)) {
		t.Helper()
		wanted := string(w.configuration(change))
		if wanted == running {
			return
		}
		w.kratos.Kill()
		if err := os.WriteFile(w.kratos.ConfigFile, []byte(wanted), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := w.kratos.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		running = wanted
	}
	for _, test := range []struct {
		name   string
		file   func(self map[string]any) // Kratos' configuration; the doctor does not get it
		around func(http.Handler) http.Handler
		doctor func(*doctor.Doctor)
		want   map[string]doctor.Verdict
		says   string
		made   bool // Ory made the identity, although the sign-up failed
	}{
		{name: "right"},
		{name: "traits from the operator", doctor: func(d *doctor.Doctor) {
			d.Live.Traits = json.RawMessage(`{"name":"Doctor","email":"RANDOM@doctor.invalid"}`)
		}},
		{name: "traits that the schema refuses", doctor: func(d *doctor.Doctor) { d.Live.Traits = json.RawMessage(`{"nick":"RANDOM"}`) },
			want: unsigned(doctor.Unknown), says: "email"},
		{name: "no reserve", file: func(s map[string]any) { drop(s, "password", "reserve") }, want: wrong("live.reserve"), says: "without metadata_public.id"},
		{name: "reserve without parse", file: func(s map[string]any) { delete(hook(s, "reserve"), "response") }, want: wrong("live.reserve")},
		{name: "no link", file: func(s map[string]any) { drop(s, "password", "link") }, want: wrong("live.link"), says: "did not arrive"},
		{name: "wrong key of link", file: func(s map[string]any) { setKey(s, "link", "nobody-knows-this-key-nobody-knows") }, want: wrong("live.link")},
		{name: "reserve unreachable from Kratos", file: func(s map[string]any) { hook(s, "reserve")["url"] = nowhere + "/hooks/reserve" }, want: unsigned(doctor.Problem), says: "/hooks/reserve"},
		{name: "parse on link", file: func(s map[string]any) { hook(s, "link")["response"] = map[string]any{"parse": true} }, want: unsigned(doctor.Problem)},
		{name: "a blocking link that fails", file: func(s map[string]any) { delete(hook(s, "link"), "response") }, around: drops("/hooks/link", func() {}), want: unsigned(doctor.Problem), says: "502", made: true},
		{name: "another secret", doctor: func(d *doctor.Doctor) { d.Live.Minted = mint.NewMinter("default", anders).Minted }, want: wrong("live.reserve"), says: "did not make"},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := w.traces()
			d := w.liveDoctor()
			if test.want["live.link"] == doctor.Problem {
				d.Live.Patience = time.Second // for hooks that never arrive
			}
			reconfigure(t, test.file)
			if test.around != nil {
				w.before(t, test.around)
				d.HTTP = nil
			}
			if test.doctor != nil {
				test.doctor(d)
			}
			want := map[string]doctor.Verdict{}
			for name, v := range test.want {
				want[name] = v
			}
			if test.around != nil {
				want["hooks.url"] = doctor.Problem
			}
			got := examine(t, d)
			expect(t, got, want)
			said := test.says == ""
			for name := range test.want {
				said = said || strings.Contains(got[name].Is, test.says)
			}
			cleaned := "the test person was deleted again"
			if _, failed := test.want["live.registration"]; failed && !test.made {
				cleaned = "there was no test person to delete"
			}
			if r := got["live.cleanup"]; !strings.HasPrefix(r.Is, cleaned) {
				t.Errorf("%+v", r)
			}
			if !said {
				t.Errorf("no result says %q: %+v", test.says, got)
			}
			w.leavesNoTrace(before)
		})
	}
	reconfigure(t, nil)
	t.Run("interrupted", func(t *testing.T) { testInterrupted(t, w) })
}

// testInterrupted cancels the examination, as Ctrl-C does, while Ory waits for a hook.
func testInterrupted(t *testing.T, w *installation) {
	for _, path := range []string{"/hooks/reserve", "/hooks/link"} {
		t.Run(path, func(t *testing.T) {
			before := w.traces()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var once sync.Once
			w.before(t, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					if r.URL.Path == path && r.Header.Get("User-Agent") == "Go-http-client/1.1" && r.Header.Get("X-Symbolon-Key") != "" && r.ContentLength > int64(len("{}")) { // not the doctor's own
						once.Do(cancel)
						time.Sleep(300 * time.Millisecond)
					}
					next.ServeHTTP(rw, r)
				})
			})
			got := examineIn(t, ctx, w.liveDoctor())
			if r := got["live.cleanup"]; r.Verdict != doctor.OK {
				t.Errorf("%+v", r)
			}
			if r := got["live.link"]; r.Verdict != doctor.Unknown {
				t.Errorf("%+v", r)
			}
			time.Sleep(time.Second) // running requests have ended
			w.leavesNoTrace(before)
		})
	}
}
