package mint

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestTemplates(t *testing.T) {
	const uuid = `[0-9a-f]{8}-[0-9a-f]{4}-%[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`
	for template, form := range map[string]string{
		"usr_{ulid}":  `usr_[0-7][0-9A-HJKMNP-TV-Z]{25}`,
		"{uuidv4}":    strings.ReplaceAll(uuid, "%", "4"),
		"{uuidv7}":    strings.ReplaceAll(uuid, "%", "7"),
		"c{nanoid}.x": `c[A-Za-z0-9_-]{21}\.x`,
	} {
		if err := CheckTemplate(template); err != nil {
			t.Error(err)
		}
		seen := map[string]bool{}
		for range 1000 {
			id := string(Expand(template, testNow))
			if !regexp.MustCompile("^"+form+"$").MatchString(id) || len(id) != TemplateLength(template) || seen[id] {
				t.Fatalf("%s makes %q of length %d", template, id, TemplateLength(template))
			}
			seen[id] = true
		}
	}
	for _, bad := range []string{"", "usr", "{}", "{cuid}", "{ulid}{ulid}", "a b{ulid}", "usr_{ULID}", "{ulid", strings.Repeat("x", 65) + "{ulid}"} {
		if CheckTemplate(bad) == nil || TemplateLength(bad) != 0 || Expand(bad, testNow) != "" {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// TestULID compares with the example of the specification: its time is 01ARZ3NDEK.
func TestULID(t *testing.T) {
	at := time.UnixMilli(1469922850259)
	if id := Expand("{ulid}", at); !strings.HasPrefix(string(id), "01ARZ3NDEK") {
		t.Error(id)
	}
	if a, b := Expand("{ulid}", at), Expand("{ulid}", at.Add(time.Millisecond)); a >= b {
		t.Errorf("%s is not before %s", a, b)
	}
}

// TestNanoidIsNoOption makes so many IDs that one in 64 would begin with a hyphen.
func TestNanoidIsNoOption(t *testing.T) {
	for range 5000 {
		if id := Expand("{nanoid}", testNow); strings.HasPrefix(string(id), "-") {
			t.Fatal(id)
		}
	}
}
