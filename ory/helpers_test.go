package ory

import (
	"bytes"
	"encoding/json"
	"net/url"
	"testing"

	"github.com/symbolon-id/symbolon/symbolontest"
)

func TestMain(m *testing.M) { symbolontest.Main(m) }

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
