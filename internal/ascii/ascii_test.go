package ascii

import "testing"

func TestVisible(t *testing.T) {
	for s, want := range map[string]bool{"": true, "a~!": true, "a b": false, "a\t": false, "\x7f": false, "é": false, "\xff": false, "\x00": false} {
		if Visible(s) != want {
			t.Errorf("%q: %v", s, !want)
		}
	}
}
