package faults

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestFields(t *testing.T) {
	f := Of("Outer")
	if f.Err() != nil || In(nil) != nil || In(io.EOF) != nil {
		t.Error("faults in a valid value")
	}
	inner := Of("Inner")
	inner.Say("List[1]", "it is odd")
	f.Say("URL", "it is not set")
	f.Say("URL", "a second fault")
	f.Add("Reader", io.EOF)
	f.Add("Nil", nil)
	f.Take("Inner", inner.Err())
	f.Take("Other", io.ErrClosedPipe)
	f.Take("None", nil)
	err := fmt.Errorf("wrapped: %w", f.Err())
	if got := In(err); len(got) != 4 || got["URL"].Error() != "it is not set" || got["Inner.List[1]"] == nil {
		t.Errorf("%v", got)
	}
	if !errors.Is(err, io.EOF) || !errors.Is(err, io.ErrClosedPipe) {
		t.Error("the fields' own errors are lost")
	}
	want := "Outer.Inner.List[1]: it is odd\nOuter.Other: io: read/write on closed pipe\nOuter.Reader: EOF\nOuter.URL: it is not set"
	if f.Error() != want {
		t.Errorf("got %q", f)
	}
}
