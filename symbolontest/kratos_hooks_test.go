package symbolontest_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/symbolontest"
)

// overlay has two hooks of an application. Kratos calls one of them before it stores an
// identity, and the other one afterwards.
func overlay(base string) []byte {
	jsonnet := func(s string) string { return "base64://" + base64.StdEncoding.EncodeToString([]byte(s)) }
	return fmt.Appendf(nil, `
selfservice:
  flows:
    registration:
      after:
        password:
          hooks:
            - hook: web_hook
              config:
                url: %[1]s/reserve
                method: POST
                body: %[2]s
                response: {parse: true}
            - hook: web_hook
              config:
                url: %[1]s/link
                method: POST
                body: %[3]s
                response: {ignore: true}
            - hook: session
`, base, jsonnet(`function(ctx) {metadata_public: ctx.identity.metadata_public}`),
		jsonnet(`function(ctx) {identity_id: ctx.identity.id}`))
}

func TestKratosHooks(t *testing.T) {
	t.Parallel()
	linked := make(chan string, 1)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/reserve" {
			_, _ = io.WriteString(w, `{"identity":{"metadata_public":{"id":"x"}}}`)
			return
		}
		linked <- string(body)
	}))
	defer app.Close()
	k := symbolontest.StartKratos(t, symbolontest.KratosConfig{Overlay: overlay(app.URL)})

	ada, err := k.Register(t.Context(), "ada@example.com", password, "Ada")
	if err != nil {
		t.Fatal(err)
	}
	if ada.Token == "" {
		t.Error("the overlay's session hook made no session")
	}
	if got := publicID(t, k, ada.IdentityID); got != "x" {
		t.Errorf("metadata_public.id is %q", got)
	}
	select {
	case body := <-linked:
		if !strings.Contains(body, ada.IdentityID) {
			t.Errorf("the link hook sent %s, not %s", body, ada.IdentityID)
		}
	case <-time.After(time.Minute):
		t.Error("the link hook was never called")
	}
}

// TestKratosConcurrency submits one flow with several addresses at once, which creates
// several identities. It also runs many flows at once, with SQLite as Kratos' database.
func TestKratosConcurrency(t *testing.T) {
	t.Parallel()
	k := symbolontest.StartKratos(t, symbolontest.KratosConfig{})
	flow, err := k.RegisterFlow(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			if _, err := k.Submit(t.Context(), flow, fmt.Sprintf("one%d@example.com", i), password, "One"); err != nil {
				t.Error(err)
			}
		})
	}
	for i := range 52 {
		group.Go(func() {
			if _, err := k.Register(t.Context(), fmt.Sprintf("many%d@example.com", i), password, "Many"); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if count, err := k.CountIdentities(t.Context()); err != nil || count != 60 {
		t.Fatalf("%d identities, %v", count, err)
	}
}
