package link

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
)

// TestReserveByTemplate reserves an ID of a template, and of a function of the program. The
// identity that carries the ID and its proof gets the user, once. Without the proof the ID is
// worth nothing.
func TestReserveByTemplate(t *testing.T) {
	made := 0
	for newID, form := range map[symbolon.NewID]string{"usr_{ulid}": "usr_", symbolon.ByProgram: "own-"} {
		t.Run(string(newID), func(t *testing.T) {
			store := newMemory(newID)
			l := &Linker{Ory: &oryModel{}, Store: store, Secrets: []symbolon.Secret{symbolon.Secret(strings.Repeat("s", 32))}, Log: slog.New(slog.DiscardHandler),
				MakeID: func() symbolon.UserID { made++; return symbolon.UserID(fmt.Sprintf("own-%d", made)) }}
			reserved, err := l.Reserve(t.Context(), symbolon.Identity{})
			if err != nil || !strings.HasPrefix(string(reserved.User), form) || reserved.Proof == "" {
				t.Fatalf("%+v %v", reserved, err)
			}
			person := func(n int, proof string) symbolon.UserID {
				t.Helper()
				metadata, _ := json.Marshal(map[string]string{"id": string(reserved.User), "id_reserved": proof})
				link, err := l.Link(t.Context(), symbolon.Reading{Identity: symbolon.Identity{
					ID: symbolon.IdentityID(fmt.Sprintf("1d000000-0000-4000-8000-%012d", n)), State: symbolon.Active, MetadataPublic: metadata}})
				if err != nil || !strings.HasPrefix(string(link.User), form) {
					t.Fatalf("%+v %v", link, err)
				}
				return link.User
			}
			if got := person(1, "r1.forged"); got == reserved.User {
				t.Error("a forged proof is accepted")
			}
			if got := person(2, reserved.Proof); got != reserved.User {
				t.Errorf("the user is %s, want the reserved %s", got, reserved.User)
			}
			if got := person(3, reserved.Proof); got == reserved.User {
				t.Error("the copy of a proof gave another identity the user")
			}
		})
	}
	l := &Linker{Ory: &oryModel{}, Store: newMemory(symbolon.ByProgram)}
	if _, err := l.Link(t.Context(), symbolon.Reading{Identity: symbolon.Identity{ID: "1d000000-0000-4000-8000-000000000009"}}); err == nil || !strings.Contains(err.Error(), "MakeID") {
		t.Errorf("without a function: %v", err)
	}
	if r, err := l.Reserve(t.Context(), symbolon.Identity{}); err != nil || r.User != "" {
		t.Errorf("%+v %v", r, err)
	}
}
