package uuid

import (
	"strings"
	"testing"
)

func TestParseAndFormat(t *testing.T) {
	for _, s := range []string{Nil, "3f1b6a52-8f3e-4a8b-9d67-5b1c2d3e4f50", "ffffffff-ffff-ffff-ffff-ffffffffffff"} {
		u, err := Parse(s)
		if err != nil || Format(u) != s {
			t.Errorf("%s: %s, %v", s, Format(u), err)
		}
		if upper, err := Parse(strings.ToUpper(s)); err != nil || upper != u {
			t.Errorf("%s in upper case: %v", s, err)
		}
	}
	for _, s := range []string{"", "3f1b6a52-8f3e-4a8b-9d67-5b1c2d3e4f5", "3f1b6a52-8f3e-4a8b-9d67-5b1c2d3e4f5g", "{3f1b6a52-8f3e-4a8b-9d67-5b1c2d3e4f5}",
		"3f1b6a528-f3e-4a8b-9d67-5b1c2d3e4f50", strings.Repeat("x", 1000)} {
		if _, err := Parse(s); err == nil || len(err.Error()) > 200 {
			t.Errorf("%q: %v", s, err)
		}
	}
}
