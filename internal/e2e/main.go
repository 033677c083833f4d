package e2e

import (
	"flag"
	"runtime"
	"strconv"
	"testing"

	"github.com/symbolon-id/symbolon/symbolontest"
)

// Main runs the tests of a binary as [symbolontest.Main] does, but with two tests per
// processor, because a test waits more than it computes. The flag -parallel of go test
// overrides it.
//
// Tests call t.Parallel. A test that needs the whole machine does not call it: it runs
// before the others, alone in its package.
func Main(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		_ = flag.Set("test.parallel", strconv.Itoa(min(2*runtime.GOMAXPROCS(0), 16))) // package testing defines this flag
	}
	symbolontest.Main(m)
}
