// Package uuid reads and writes UUIDs in their one form of 36 characters.
package uuid

import (
	"fmt"
	"strings"
)

// Nil is the UUID of zeros.
const Nil = "00000000-0000-0000-0000-000000000000"

// digits are the places of the 16 pairs of digits in a UUID.
var digits = [16]int{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34}

// Parse reads a UUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx, in upper or lower
// case. Every other form is an error, which repeats at most 64 bytes of s.
func Parse(s string) (u [16]byte, err error) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return u, fmt.Errorf("%q is not a UUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", clip(s))
	}
	for n, at := range digits {
		hi, ok1 := unhex(s[at])
		lo, ok2 := unhex(s[at+1])
		if !ok1 || !ok2 {
			return u, fmt.Errorf("%q is not a UUID: only hexadecimal digits are allowed", clip(s))
		}
		u[n] = hi<<4 | lo
	}
	return u, nil
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// Format writes a UUID in lower case.
func Format(u [16]byte) string {
	const hex = "0123456789abcdef"
	var b strings.Builder
	b.Grow(36)
	for i, c := range u {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			b.WriteByte('-')
		}
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}

// clip keeps the text of an error short.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
