package link

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrWhy: the reason of an operator cannot be kept.
var ErrWhy = errors.New("the reason (why) must be one line of at most 1000 bytes without an e-mail address, because it is kept forever: name the ticket, not the person")

// CheckWhy refuses a reason that is too long, has control characters or several lines, or
// contains an "@", also in its wide forms, because it may be part of an e-mail address.
// Every operator's text that is kept goes through CheckWhy.
func CheckWhy(why string) error {
	control := func(r rune) bool {
		return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError
	}
	if len(why) > 1000 || strings.ContainsFunc(why, control) || strings.ContainsAny(why, "@\uFE6B\uFF20") {
		return ErrWhy
	}
	return nil
}
