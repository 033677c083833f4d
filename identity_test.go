package symbolon

import (
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/internal/uuid"
)

func TestIdentityIDForms(t *testing.T) {
	const good = "3f1b6a52-8f3e-4a8b-9d67-5b1c2d3e4f50"
	for _, v := range "0123456789abcdef" {
		s := good[:14] + string(v) + good[15:]
		if id, err := ParseIdentityID(s); err != nil || string(id) != s {
			t.Errorf("%s: %v", s, err)
		}
	}
	if id, err := ParseIdentityID(strings.ToUpper(good)); err != nil || string(id) != good {
		t.Errorf("upper case: %q, %v", id, err)
	}
	bad := []string{"", uuid.Nil, "{" + good + "}", "urn:uuid:" + good, good[:35], good + "0", strings.ReplaceAll(good, "-", ""),
		good[:35] + "\x00", good[:35] + "g", " " + good, good + " ", good + "\n", strings.Replace(good, "-", "_", 1),
		good[:34] + "é", "0000-----0a00-0000-0000-000000000000", "3f1b6a528-f3e-4a8b-9d67-5b1c2d3e4f50", "null", "0", "true", "[]"}
	for _, s := range bad {
		if id, err := ParseIdentityID(s); err == nil {
			t.Errorf("%q became %q", s, id)
		} else if len(err.Error()) > 300 {
			t.Errorf("the error repeats too many of the caller's bytes: %d", len(err.Error()))
		}
	}
}

func TestUserIDForms(t *testing.T) {
	if n, err := UserID("-9223372036854775808").Int64(); err != nil || n != -9223372036854775808 {
		t.Error(n, err)
	}
	for _, s := range []UserID{"", "042", "+42", "1.0", "9223372036854775808", "a", " 1"} {
		if n, err := s.Int64(); err == nil {
			t.Errorf("%q became %d", s, n)
		}
	}
	if _, err := UserID("42").UUID(); err == nil {
		t.Error("42 is a UUID")
	}
}

func FuzzParseIdentityID(f *testing.F) {
	f.Add("3F1B6A52-8f3e-4a8b-9d67-5b1c2d3e4f50")
	f.Add(uuid.Nil)
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseIdentityID(s)
		if err != nil {
			return
		}
		if again, err := ParseIdentityID(string(id)); err != nil || again != id || !strings.EqualFold(s, string(id)) {
			t.Errorf("%q -> %q -> %q, %v", s, id, again, err)
		}
	})
}
