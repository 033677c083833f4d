package server

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
)

func TestPanicsShowNothing(t *testing.T) {
	var logged bytes.Buffer
	o := &observer{listener: "public", log: cli.NewLogger(&logged, slog.LevelDebug), metrics: newMetrics()}
	for i, value := range []any{cmdtest.Secret, errors.New(cmdtest.Secret), fmt.Errorf("x %s", cmdtest.Secret), []byte(cmdtest.Secret), struct{ S string }{cmdtest.Secret}, 7, nil} {
		h := o.wrap("/x", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			if value == nil {
				var none []int
				_ = none[len(cmdtest.Secret)] // a runtime error
			}
			panic(value)
		}))
		r := httptest.NewRequest("POST", "http://h/x?q="+cmdtest.Secret, strings.NewReader(cmdtest.Secret))
		r.Header.Set("Cookie", cmdtest.Secret)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 500 || !strings.HasPrefix(w.Body.String(), `{"error":{"code":"unavailable"`) || strings.Contains(w.Body.String(), "cAnArY") {
			t.Errorf("%d: %d %s", i, w.Code, w.Body)
		}
	}
	if strings.Contains(logged.String(), "cAnArY") {
		t.Errorf("the panic was logged:\n%s", logged.String())
	}
	if n := strings.Count(logged.String(), `"msg":"panic"`); n != 7 || !strings.Contains(logged.String(), "index out of range") {
		t.Errorf("%d panics logged:\n%s", n, logged.String())
	}
}

func TestPanicAfterTheAnswerBegan(t *testing.T) {
	var logged bytes.Buffer
	o := &observer{listener: "public", log: cli.NewLogger(&logged, slog.LevelInfo), metrics: newMetrics()}
	w := httptest.NewRecorder()
	o.wrap("/x", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		panic("late")
	})).ServeHTTP(w, httptest.NewRequest("GET", "http://h/x", nil))
	if w.Code != 200 || w.Body.Len() != 0 || !strings.Contains(logged.String(), "panic") {
		t.Errorf("%d %s, logged %s", w.Code, w.Body, &logged)
	}
}

func TestAbortIsNoPanic(t *testing.T) {
	var logged bytes.Buffer
	o := &observer{listener: "public", log: cli.NewLogger(&logged, slog.LevelInfo), metrics: newMetrics()}
	defer func() {
		if recover() != http.ErrAbortHandler || logged.Len() > 0 { //nolint:errorlint // net/http compares so as well
			t.Errorf("logged %s", &logged)
		}
	}()
	o.wrap("/x", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })).
		ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "http://h/x", nil))
}

// TestLabelsAreBounded checks that requests of strangers do not add unlimited series.
func TestLabelsAreBounded(t *testing.T) {
	m := newMetrics()
	o := &observer{listener: "public", log: slog.New(slog.DiscardHandler), metrics: m}
	rt := newRouter([]route{{"", "/auth", http.HandlerFunc(healthz)}, {"GET", "/admin/users/{id}", http.HandlerFunc(healthz)}}, o.wrap)
	for i := range 500 {
		for _, path := range []string{"/auth", "/admin/users/%d", "/random/%d"} {
			r := httptest.NewRequest(fmt.Sprintf("METHOD%d", i), "http://h"+strings.ReplaceAll(path, "%d", fmt.Sprint(i)), nil)
			rt.ServeHTTP(httptest.NewRecorder(), r)
		}
	}
	w := httptest.NewRecorder()
	m.handler().ServeHTTP(w, httptest.NewRequest("GET", "http://h/metrics", nil))
	if n := strings.Count(w.Body.String(), "\n"); n > 300 {
		t.Errorf("%d lines", n)
	}
	for _, want := range []string{`symbolon_build_info{`, `symbolon_http_requests_total{listener="public",route="none",status="404"} 500`,
		`route="/admin/users/{id}",status="405"} 500`, `go_goroutines`} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("missing: %s", want)
		}
	}
}
