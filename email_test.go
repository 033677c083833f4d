package symbolon

import (
	"testing"
)

func TestNormalEmail(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"ann@example.org", "ann@example.org"}, {"Ann@EXAMPLE.org", "ann@example.org"}, {"ann+tag@example.org", "ann+tag@example.org"},
		{"m\u00fcller@example.de", "m\u00fcller@example.de"}, {"M\u00dcLLER@example.de", "m\u00dcller@example.de"}, // Ü is no ASCII letter
		{"\u0131an@x", "\u0131an@x"}, {"\u017fam@x", "\u017fam@x"}, {"\u0130@x", "\u0130@x"},
	} {
		if got, ok := NormalEmail(tt.in); !ok || got != tt.want {
			t.Errorf("%q: %q %v", tt.in, got, ok)
		}
	}
	for _, bad := range []string{"", "@", "a@", "@b", "a", "a@b@c", "\u212aim@x", "mu\u0308ller@x", "\uff41@x", "a@b\uff0ec", "a @b", "a@b ", "a@b\n", "a\x00@b",
		"a\u00a0@b", "a\u00ad@b", "a\x7f@b", "a@\xff", "\u0430nn@x", string(make([]byte, 300)) + "@b"} {
		if got, ok := NormalEmail(bad); ok {
			t.Errorf("%q: %q", bad, got)
		}
	}
}

// FuzzNormalEmail: NormalEmail is idempotent and changes only ASCII letters.
func FuzzNormalEmail(f *testing.F) {
	f.Add("Ann@Example.org")
	f.Add("\u212aim@example.org")
	f.Fuzz(func(t *testing.T, s string) {
		n, ok := NormalEmail(s)
		if !ok {
			return
		}
		again, ok := NormalEmail(n)
		if !ok || again != n || len(n) != len(s) {
			t.Errorf("%q, %q, %q", s, n, again)
		}
		for i := range len(s) {
			if s[i] != n[i] && (s[i] < 'A' || s[i] > 'Z' || n[i] != s[i]+32) {
				t.Errorf("%q, %q", s, n)
			}
		}
	})
}
