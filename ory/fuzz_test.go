package ory

import (
	"bytes"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/strictjson"
)

func seedCaptures(f *testing.F, pattern string) {
	files, _ := filepath.Glob(filepath.Join("testdata", "captures", "v26.2.0", pattern))
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var e exchange
		if json.Unmarshal(b, &e) == nil {
			f.Add(compact(e.Response.Body))
		}
	}
}

func FuzzDecodeIdentity(f *testing.F) {
	seedCaptures(f, "get-*.json")
	f.Add([]byte(identityJSON(someID)))
	f.Fuzz(func(t *testing.T, doc []byte) {
		i, err := DecodeIdentity(doc)
		if err != nil {
			return
		}
		checkIdentity(t, doc, i)
	})
}

func FuzzDecodeSession(f *testing.F) {
	seedCaptures(f, "whoami-*.json")
	seedCaptures(f, "sessions-get-*.json")
	f.Add([]byte(sessionJSON(someID, identityJSON(someID))))
	f.Fuzz(func(t *testing.T, doc []byte) {
		s, err := DecodeSession(doc)
		if err != nil {
			return
		}
		if id, err := symbolon.ParseIdentityID(s.ID); err != nil || string(id) != s.ID {
			t.Errorf("session ID %q", s.ID)
		}
		if s.ExpiresAt.IsZero() && !bytes.Contains(doc, []byte("0001-01-01")) {
			t.Error("no expiry")
		}
		if s.Identity != nil {
			checkIdentity(t, nil, *s.Identity)
		}
	})
}

// checkIdentity compares with encoding/json. If encoding/json finds another identity in
// the same bytes, the client must refuse them.
func checkIdentity(t *testing.T, doc []byte, i symbolon.Identity) {
	t.Helper()
	if id, err := symbolon.ParseIdentityID(string(i.ID)); err != nil || id != i.ID {
		t.Errorf("identity ID %q", i.ID)
	}
	for _, raw := range []json.RawMessage{i.Traits, i.MetadataPublic, i.MetadataAdmin} {
		if raw != nil && !json.Valid(raw) {
			t.Errorf("not JSON: %q", raw)
		}
	}
	if doc == nil {
		return
	}
	var other map[string]json.RawMessage
	if err := json.Unmarshal(doc, &other); err != nil {
		t.Fatalf("encoding/json refuses it: %v", err)
	}
	var id, state, external string
	_ = json.Unmarshal(other["id"], &id)
	_ = json.Unmarshal(other["state"], &state)
	_ = json.Unmarshal(other["external_id"], &external)
	if !strings.EqualFold(id, string(i.ID)) || state != string(i.State) || external != i.ExternalID {
		t.Errorf("read %q %q %q, encoding/json reads %q %q %q", i.ID, i.State, i.ExternalID, id, state, external)
	}
	for key, raw := range map[string]json.RawMessage{"traits": i.Traits, "metadata_public": i.MetadataPublic, "metadata_admin": i.MetadataAdmin} {
		if !bytes.Equal(raw, other[key]) {
			t.Errorf("%s: read %q, encoding/json reads %q", key, raw, other[key])
		}
	}
}

func FuzzLinks(f *testing.F) {
	for _, s := range []string{next("t1"), first, first + ",", `<a>; rel="x, y"; title=",<b>"`, `<>;rel=next`, ``, `,,`, `</identities?page_token=a>;rel="first next"`} {
		f.Add(s)
	}
	base := mustURL("http://kratos:4434")
	f.Fuzz(func(t *testing.T, header string) {
		q, err := nextPage([]string{header}, base)
		if err != nil || q == nil {
			return
		}
		if !strings.Contains(strings.ToLower(header), "next") {
			t.Errorf("%q leads on", header)
		}
		for k, v := range q {
			if k != "page_token" && k != "page_size" || len(v) != 1 {
				t.Errorf("%q asks for %v", header, q)
			}
		}
		if q.Get("page_token") == "" || len(q.Get("page_token")) > 4096 {
			t.Errorf("%q: %v", header, q)
		}
	})
}

func FuzzCheckURL(f *testing.F) {
	for _, s := range []string{"http://127.0.0.1:4433", "https://x.example/a", "http://[::ffff:8.8.8.8]", "http://a@b", "http://0x7f.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if CheckURL(raw) != nil {
			return
		}
		u, err := url.Parse(raw)
		if err != nil || u.User != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
			t.Errorf("%q is accepted", raw)
		}
		if err := (&Client{PublicURL: raw}).Check(); err != nil {
			t.Errorf("%q: %v", raw, err)
		}
	})
}

// BenchmarkDecodeSession measures the decoding in a cache miss.
func BenchmarkDecodeSession(b *testing.B) {
	doc, err := os.ReadFile(filepath.Join("testdata", "captures", "v26.2.0", "whoami-cookie-200.json"))
	if err != nil {
		b.Fatal(err)
	}
	var e exchange
	if err := json.Unmarshal(doc, &e); err != nil {
		b.Fatal(err)
	}
	body := compact(e.Response.Body)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeSession(body); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzIdentities checks that a page gives the same identities as its items do one by one.
func FuzzIdentities(f *testing.F) {
	seedCaptures(f, "list-*.json")
	f.Add([]byte("[" + identityJSON(someID) + "," + identityJSON(someID) + "]"))
	f.Add(kratosPage(2))
	f.Fuzz(func(t *testing.T, doc []byte) {
		got, err := identities(doc)
		var items []json.RawMessage
		if json.Unmarshal(doc, &items) != nil || !utf8.Valid(doc) || strictjson.IsNull(bytes.TrimSpace(doc)) {
			if err == nil {
				t.Fatalf("encoding/json does not read this as a list: %q", doc)
			}
			return
		}
		for n, item := range items {
			one, itemErr := DecodeIdentity(item)
			if itemErr != nil {
				if err == nil {
					t.Fatalf("item %d is refused on its own: %v", n, itemErr)
				}
				return
			}
			one.ChangedAt = time.Time{} // a listing has no change time
			if err == nil && !reflect.DeepEqual(one, got[n]) {
				t.Fatalf("item %d: %+v, on its own %+v", n, got[n], one)
			}
		}
		if err != nil || len(got) != len(items) {
			t.Fatalf("%d of %d items: %v", len(got), len(items), err)
		}
	})
}
