package symbolontest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestLateJsonnet checks that Register submits a form again if Kratos refused it because
// its Jsonnet took longer than a second. Every other refusal is returned.
func TestLateJsonnet(t *testing.T) {
	const late = `{"error":{"code":500,"message":"jsonnetsecure: eval: context deadline exceeded"}}`
	for _, test := range []struct {
		answers []string // of the submits, in turn; the last one repeats
		submits int
		ok      bool
	}{
		{[]string{late, late, `{"identity":{"id":"1"}}`}, 3, true},
		{[]string{`{"error":{"code":500,"message":"another"}}`}, 1, false},
		{[]string{late}, 10, false},
	} {
		submits := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				_, _ = w.Write([]byte(`{"id":"flow"}`))
				return
			}
			answer := test.answers[min(submits, len(test.answers)-1)]
			submits++
			if strings.Contains(answer, "error") {
				w.WriteHeader(http.StatusBadRequest)
			}
			_, _ = w.Write([]byte(answer))
		}))
		k := &Kratos{PublicURL: server.URL, client: server.Client()}
		p, err := k.Register(t.Context(), "a@example.org", "x", "Ann")
		if (err == nil) != test.ok || (p != nil) != test.ok || submits != test.submits {
			t.Errorf("%v: %d submits, %+v, %v", test.answers, submits, p, err)
		}
		server.Close()
	}
}
