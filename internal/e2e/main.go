package e2e

import (
	"flag"
	"runtime"
	"strconv"
	"testing"

	"github.com/symbolon-id/symbolon/symbolontest"
)

// Main runs the tests of a binary as [symbolontest.Main] does, with room for more of them at
// once: a world waits more than it computes, so two fit on a processor. The flag -parallel
// of go test says otherwise.
//
// t.Parallel is how a test takes its place among them. A test that has to have the machine
// for itself does not call it: it runs before all others, alone in its package.
func Main(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		_ = flag.Set("test.parallel", strconv.Itoa(min(2*runtime.GOMAXPROCS(0), 16))) // testing has that flag
	}
	symbolontest.Main(m)
}
