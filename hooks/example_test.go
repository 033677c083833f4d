package hooks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/mint"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// Before Ory stores a new identity, it asks for the ID of its user.
func ExampleHandler_Reserve() {
	secrets := []symbolon.Secret{symbolon.Secret("k2J8vQ0zR5tXw9LmB4nYc7HdF1sGpA6e")} // openssl rand -base64 32
	handler := &hooks.Handler{Linker: &link.Linker{
		Ory:     noOry{},
		Store:   &sqlstore.Store{Users: sqlstore.Users{Table: "accounts"}}, // reserve needs no database
		Secrets: secrets,
	}}

	r := httptest.NewRequest(http.MethodPost, "/hooks/reserve", strings.NewReader(`{"metadata_public":{"plan":"gold"}}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(hooks.KeyHeader, hooks.DeriveKeys(secrets).Reserve[0])
	w := httptest.NewRecorder()
	handler.Reserve().ServeHTTP(w, r)

	var answer struct {
		Identity struct {
			Metadata struct {
				ID   symbolon.UserID `json:"id"`
				Plan string          `json:"plan"`
			} `json:"metadata_public"`
		} `json:"identity"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		fmt.Println(err)
		return
	}
	metadata := answer.Identity.Metadata
	fmt.Println(w.Code, metadata.Plan, mint.NewMinter("default", secrets...).Minted(metadata.ID))
	// Output: 200 gold true
}

// noOry is an Ory without an admin API. A program uses *ory.Client.
type noOry struct{}

func (noOry) HasAdmin() bool { return false }

func (noOry) Identity(context.Context, symbolon.IdentityID) (symbolon.Identity, error) {
	return symbolon.Identity{}, symbolon.ErrNoAdmin
}

func (noOry) AddPublicMetadata(context.Context, symbolon.IdentityID, string, string) (symbolon.Identity, error) {
	return symbolon.Identity{}, symbolon.ErrNoAdmin
}
