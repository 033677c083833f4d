package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// BENCHMARKS.md has a part for each of the programs: what stands before the first
// heading of the second level is `make bench`'s, and each such heading begins another's.

// publish prints a part of the document, and writes it unless the path is "-". The
// heading is "" for the first part, or the line that the part begins with.
func publish(path, heading, text string) error {
	fmt.Fprint(os.Stdout, text)
	if path == "-" {
		return nil
	}
	doc, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(path, []byte(replacePart(string(doc), heading, text)), 0o644) //nolint:gosec // a document
}

// replacePart puts a part in the place of the one with the same heading, or at the end.
func replacePart(doc, heading, text string) string {
	start := strings.Index(doc, heading)
	if start < 0 {
		return strings.TrimPrefix(doc+"\n"+text, "\n")
	}
	end := len(doc)
	if next := strings.Index(doc[start:], "\n\n## "); next >= 0 {
		end = start + next + 1
	}
	return doc[:start] + text + doc[end:]
}
