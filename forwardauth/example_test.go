package forwardauth_test

import (
	"fmt"
	"net/http/httptest"
	"time"

	"github.com/symbolon-id/symbolon/forwardauth"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// A proxy asks whether requests may pass. The path names the policy.
func Example() {
	linker := &link.Linker{Ory: &ory.Client{PublicURL: "http://127.0.0.1:4433"}, Store: &sqlstore.Store{Dialect: sqlstore.Postgres}}
	auth := &session.Verifier{Linker: linker}
	defer auth.Close()

	forward := &forwardauth.ForwardAuth{
		Verifier: auth,
		Policies: map[string]forwardauth.Policy{
			"pages":          {LoginRedirect: true},
			"delete-account": {Require: []session.Policy{session.AAL2, session.Fresh(15 * time.Minute)}},
		},
		Login: forwardauth.Login{URL: "https://ory.example/self-service/login/browser"},
	}
	if err := forward.Check(); err != nil {
		fmt.Println(err)
	}

	// The answers to requests without a session.
	for _, path := range []string{"/auth", "/auth/optional", "/auth/p/pages", "/auth/p/delete-account", "/auth/p/misspelt"} {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Accept", "text/html") // a browser
		w := httptest.NewRecorder()
		forward.ServeHTTP(w, r)
		fmt.Print(path, " ", w.Code)
		if to := w.Header().Get("Location"); to != "" {
			fmt.Print(" to ", to)
		}
		fmt.Println()
	}

	// Output:
	// /auth 401
	// /auth/optional 200
	// /auth/p/pages 302 to https://ory.example/self-service/login/browser
	// /auth/p/delete-account 401
	// /auth/p/misspelt 404
}
