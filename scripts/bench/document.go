package main

import (
	"errors"
	"io/fs"
	"os"
	"strings"
)

// BENCHMARKS.md has a part for each of the programs: what stands before the first
// heading of the second level is `make bench`'s, and each such heading begins another's.

// writePart replaces one part of the document: heading is "" for the first one, or the
// line that the part begins with.
func writePart(path, heading, text string) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var out []string
	found := false
	for _, part := range parts(string(old)) {
		if headingOf(part) == heading {
			part, found = text, true
		}
		out = append(out, strings.TrimRight(part, "\n")+"\n")
	}
	if !found {
		out = append(out, text)
	}
	return os.WriteFile(path, []byte(strings.Join(out, "\n")), 0o644) //nolint:gosec // a document
}

func parts(doc string) (out []string) {
	for doc != "" {
		at := strings.Index(doc[1:], "\n## ") + 1
		if at == 0 {
			return append(out, doc)
		}
		out = append(out, doc[:at+1])
		doc = doc[at+1:]
	}
	return out
}

func headingOf(part string) string {
	line, _, _ := strings.Cut(part, "\n")
	if strings.HasPrefix(line, "## ") {
		return line
	}
	return ""
}
