package cli

import (
	"fmt"
	"strings"
	"unicode"
)

// Clip is at most the first n bytes of a text.
func Clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}

// Count is a number with its noun: 1 problem, 2 problems.
func Count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// Plain makes a stranger's text safe for a terminal. The result is one line, without
// characters that move the cursor or hide or reorder other text.
func Plain(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "\\u%04x", r)
		}
	}
	return b.String()
}

// OneLine reports whether a text is one line of valid UTF-8 without control characters.
func OneLine(s string) bool {
	return strings.ToValidUTF8(s, "") == s && !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == '\uFFFD' })
}
