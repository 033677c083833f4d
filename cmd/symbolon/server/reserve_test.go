package server

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/mint"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// TestReserveDrawsFromPostgres checks that the server draws the IDs of a serial key from a pool
// of its own, unless back_reference.write is none.
func TestReserveDrawsFromPostgres(t *testing.T) {
	database := cmdtest.NewDatabase(t, sqlstore.Postgres)
	if _, err := cmdtest.OpenDB(t, database).Exec(`create table accounts (id serial primary key, ory_identity_id uuid unique)`); err != nil {
		t.Fatal(err)
	}
	accounts := func(write link.Write) *installation {
		return install(t, func(c *config.Config) {
			c.Database, c.BackReference.Write = config.Hidden(database), write
			c.Users.Table, c.Users.NewID, c.Users.Columns = "accounts", symbolon.ByDatabase, nil
		})
	}
	i := accounts(link.WriteReserve)
	reserve := func(i *installation) string {
		w := cmdtest.Ask(i.Public(), "POST", "/hooks/reserve", `{"metadata_public":{}}`, "X-Symbolon-Key", system.HookKeys(i.Config).Reserve[0])
		return strings.TrimSpace(w.Body.String())
	}
	var answer struct {
		Identity struct {
			Metadata map[string]string `json:"metadata_public"`
		}
	}
	body := reserve(i)
	for tries := 0; body == "{}" && tries < 20; tries++ { // on a busy machine a second may be too short
		body = reserve(i)
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	got := answer.Identity.Metadata
	if got["id"] == "" || !mint.NewMinter("default", i.Config.Secrets()...).Reserved(symbolon.UserID(got["id"]), got["id_reserved"]) {
		t.Errorf("the answer is %s", body)
	}
	if pool := i.Store.DrawDB; pool == i.DB || pool.Stats().MaxOpenConnections != 4 {
		t.Errorf("the pool of the draws has %d connections", pool.Stats().MaxOpenConnections)
	}
	none := accounts(link.WriteNone)
	if body := reserve(none); body != "{}" || none.Store.DrawDB != nil {
		t.Errorf("write: none: %s, a pool %v", body, none.Store.DrawDB != nil)
	}
}
