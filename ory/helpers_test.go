package ory

import (
	"bytes"
	"encoding/json"
	"net/url"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func compact(doc []byte) []byte {
	var b bytes.Buffer
	_ = json.Compact(&b, doc)
	return b.Bytes()
}

func mustURL(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}
