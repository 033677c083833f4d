package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/symbolon-id/symbolon/doctor"
	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// Ory answers, and the database does not. Checks that need the database are unknown, not
// wrong.
func Example() {
	fake := fakeory.New(fakeory.Config{})
	defer fake.Close()
	d := &doctor.Doctor{
		Ory:      &ory.Client{PublicURL: fake.PublicURL, AdminURL: fake.AdminURL},
		Actions:  hooks.Actions{URL: "http://127.0.0.1:1"},
		Database: errors.New("connection refused"),
	}
	for _, r := range d.Examine(context.Background(), nil) {
		switch {
		case r.Check == "users.database":
			fmt.Printf("%s: %s: %s\n  fix: %s\n", r.Check, r.Verdict, r.Is, r.Fix)
		case r.Check == "ory.public" || strings.HasPrefix(r.Check, "users.t"):
			fmt.Printf("%s: %s\n", r.Check, r.Verdict)
		}
	}
	// Output:
	// ory.public: ok
	// users.database: problem: connection refused
	//   fix: set database (SYMBOLON_DATABASE) to its address, and start it; symbolon migrate makes a new one
	// users.table: unknown
	// users.type: unknown
	// users.triggers: unknown
}
