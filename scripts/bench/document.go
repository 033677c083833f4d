package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// BENCHMARKS.md has a part for each program. The text before the first heading of the
// second level belongs to `make bench`. Each such heading begins the part of another
// program.

// publish prints a part of the document. It also writes it to path, unless path is "-".
// heading is the first line of the part, or "" for the first part.
func publish(path, heading, text string) error {
	fmt.Fprint(os.Stdout, text)
	if path == "-" {
		return nil
	}
	doc, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(path, []byte(replacePart(string(doc), heading, text)), 0o644) //nolint:gosec // a public document
}

// replacePart replaces the part with the same heading, or appends it.
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
