package server

import (
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestListenTogether checks that a server that cannot listen on its second address
// answers on neither address.
func TestListenTogether(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	answered := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request was answered") })
	var logs strings.Builder
	s := &listeners{log: slog.New(slog.NewTextHandler(&logs, nil))}
	err = s.run(t.Context(), listener{"public", "127.0.0.1:0", answered}, listener{"operator", taken.Addr().String(), answered})
	if err == nil || !strings.Contains(err.Error(), "listen for the operator side") {
		t.Errorf("run: %v", err)
	}
	_, public, found := strings.Cut(logs.String(), "side=public address=")
	if !found {
		t.Fatalf("the server did not listen on the public side: %s", logs.String())
	}
	if c, err := net.Dial("tcp", strings.TrimSpace(public)); err == nil {
		_ = c.Close()
		t.Error("the public address still listens")
	}
}
