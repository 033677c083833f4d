package grpcauth_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocs checks that the code in docs/grpc.md is in the example tests, line by line.
func TestDocs(t *testing.T) {
	read := func(path ...string) string {
		text, err := os.ReadFile(filepath.Join(path...))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	indented := regexp.MustCompile(`(?m)^[\t ]+`)
	run := ""
	for _, path := range []string{"example_test.go", "example_client_test.go", "connectauth/example_test.go", "extauthz/example_test.go"} {
		run += indented.ReplaceAllString(read(path), "")
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(read("..", "docs", "grpc.md"), -1)
	if len(blocks) < 5 {
		t.Fatalf("%d blocks of code", len(blocks))
	}
	for _, block := range blocks {
		if !strings.Contains(run, indented.ReplaceAllString(block[1], "")) {
			t.Errorf("no example test has\n%s", block[1])
		}
	}
}
