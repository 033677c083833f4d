package hooks

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// BenchmarkReserve compares the reserve hook with a handler that only reads the same body
// and answers with the same number of bytes.
//
//	go test -run '^$' -bench Reserve -benchmem ./hooks
func BenchmarkReserve(b *testing.B) {
	const body = `{"metadata_public":{"plan":"gold","n":1},"invite":null}`
	h, _ := newHandler(&admin{})
	key := DeriveKeys(testSecrets).Reserve[0]
	canned := post(h.Reserve(), "/hooks/reserve", key, body).Body.Bytes()
	floor := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(io.LimitReader(r.Body, MaxBody))
		writeReserved(w, canned)
	})
	for name, handler := range map[string]http.Handler{"floor": floor, "symbolon": h.Reserve()} {
		b.Run(name, func(b *testing.B) {
			w := &sink{header: http.Header{}}
			r := httptest.NewRequest(http.MethodPost, "/hooks/reserve", nil)
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set(KeyHeader, key)
			b.ReportAllocs()
			for b.Loop() {
				r.Body = io.NopCloser(strings.NewReader(body))
				r.ContentLength = int64(len(body))
				handler.ServeHTTP(w, r)
			}
			if w.status != 0 || w.n == 0 {
				b.Fatalf("status %d, %d bytes", w.status, w.n)
			}
		})
	}
}

type sink struct {
	header    http.Header
	status, n int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(b []byte) (int, error) { s.n += len(b); return len(b), nil }
func (s *sink) WriteHeader(status int)      { s.status = status }
