package mint

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
)

// A template says how IDs look that prove nothing by themselves: a text with one word in braces,
// such as usr_{ulid}. For each word:
var templates = map[string]struct {
	length int
	make   func(now time.Time) string
}{
	"{ulid}":   {26, ulid},
	"{uuidv4}": {36, uuidv4},
	"{uuidv7}": {36, func(now time.Time) string { return string((&Minter{}).Mint(now)) }},
	"{nanoid}": {21, func(time.Time) string { return nanoid() }},
}

var templateForm = regexp.MustCompile(`^([A-Za-z0-9_.-]{0,64})(\{[a-z0-9]+\})([A-Za-z0-9_.-]{0,64})$`)

// CheckTemplate says why a text is no template.
func CheckTemplate(template string) error {
	m := templateForm.FindStringSubmatch(template)
	switch {
	case m == nil:
		return errors.New("a template is letters, digits, '_', '-' and '.', and one of {ulid}, {uuidv4}, {uuidv7} and {nanoid}: usr_{ulid}")
	case templates[m[2]].make == nil:
		return fmt.Errorf("%s is none of {ulid}, {uuidv4}, {uuidv7} and {nanoid}", m[2])
	}
	return nil
}

// TemplateLength is the length of the IDs of a template; 0 if it is none.
func TemplateLength(template string) int {
	m := templateForm.FindStringSubmatch(template)
	if m == nil || templates[m[2]].make == nil {
		return 0
	}
	return len(m[1]) + templates[m[2]].length + len(m[3])
}

// Expand makes an ID of a template that CheckTemplate accepts; "" for others. It has at least 80
// random bits.
func Expand(template string, now time.Time) symbolon.UserID {
	m := templateForm.FindStringSubmatch(template)
	if m == nil || templates[m[2]].make == nil {
		return ""
	}
	return symbolon.UserID(m[1] + templates[m[2]].make(now) + m[3])
}

// crockford is Crockford's alphabet, without I, L, O and U.
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// ulid makes a ULID: 48 bits of milliseconds and 80 random bits, as 26 characters. They are 130
// bits, of which the first two are 0.
func ulid(now time.Time) string {
	var b [20]byte // 4 bytes of zeros make the 128 bits a multiple of 5
	_, _ = rand.Read(b[10:])
	ms := uint64(max(now.UnixMilli(), 0))
	for i := range 6 {
		b[4+i] = byte(ms >> (40 - 8*i))
	}
	return crockford.EncodeToString(b[:])[6:]
}

func uuidv4(time.Time) string {
	var u [16]byte
	_, _ = rand.Read(u[:])
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return string(symbolon.UserIDFromUUID(u))
}

const nanoAlphabet = "useandom-26T198340PX75pxJACKVERYMINDBUSHWOLF_GQZbfghjklqvwyzrict"

// nanoid makes 21 characters, each of 6 random bits. The first one is never "-", because a
// command would take an ID that begins with it for an option.
func nanoid() string {
	var random [21]byte
	_, _ = rand.Read(random[:])
	for nanoAlphabet[random[0]&63] == '-' {
		_, _ = rand.Read(random[:1])
	}
	var b strings.Builder
	for _, r := range random {
		b.WriteByte(nanoAlphabet[r&63])
	}
	return b.String()
}
