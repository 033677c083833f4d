package cli

import "testing"

func TestPlurals(t *testing.T) {
	for n, want := range map[int]string{0: "0 differences are left", 1: "1 difference is left", 2: "2 differences are left"} {
		if got := Left(n, "difference").Error(); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}
