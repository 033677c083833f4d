package server

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/link"
)

// TestInviteByHTTP makes invites by the operator's API, and checks the refusals.
func TestInviteByHTTP(t *testing.T) {
	i := install(t, nil)
	_, token := i.ory.Add(1)
	user := i.signIn(t, token)
	const guest = "2d000000-0000-4000-8000-000000000001"
	cmdtest.Exec(t, i.DB, `insert into symbolon_users (id) values ('`+guest+`')`)
	for _, tt := range []struct {
		user, body string
		status     int
		life       time.Duration
	}{
		{guest, ``, 200, time.Hour}, {guest, `{}`, 200, time.Hour}, {guest, `{"for":"7d"}`, 200, 7 * 24 * time.Hour}, {guest, `{"for":"90m"}`, 200, 90 * time.Minute},
		{guest, `{"for":"30d"}`, 200, link.MaxInviteLife}, {guest, `{"for":"31d"}`, 400, 0}, {guest, `{"for":"0s"}`, 400, 0}, {guest, `{"for":"-1d"}`, 400, 0},
		{guest, `{"for":"99999999999999999999d"}`, 400, 0}, {guest, `{"for":"soon"}`, 400, 0}, {guest, `{"for":7}`, 400, 0}, {guest, `{"fore":"7d"}`, 400, 0}, {guest, `[]`, 400, 0},
		{user, ``, 409, 0}, {"2d000000-0000-4000-8000-000000000002", ``, 404, 0}, {"42", ``, 404, 0},
	} {
		w := cmdtest.Ask(i.Operator(), "POST", "/admin/users/"+tt.user+"/invite", tt.body)
		var invite link.Invite
		err := json.Unmarshal(w.Body.Bytes(), &invite)
		off := time.Until(invite.Expires) - tt.life
		if w.Code != tt.status || err != nil || tt.status == 200 && (string(invite.User) != guest || invite.Text == "" || off > time.Second || off < -time.Minute) {
			t.Errorf("%s %s: %d %s", tt.user, tt.body, w.Code, w.Body)
		}
	}
	none := install(t, func(c *config.Config) { c.BackReference.Write = link.WriteNone })
	cmdtest.Exec(t, none.DB, `insert into symbolon_users (id) values ('`+guest+`')`)
	if w := cmdtest.Ask(none.Operator(), "POST", "/admin/users/"+guest+"/invite", ""); w.Code != 409 {
		t.Errorf("without the reserve hook: %d %s", w.Code, w.Body)
	}
	none.Config.Hooks.Invites = true
	if w := cmdtest.Ask(none.Operator(), "POST", "/admin/users/"+guest+"/invite", ""); w.Code != 200 {
		t.Errorf("with hooks.invites: %d %s", w.Code, w.Body)
	}
}
