package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/link"
)

// TestInviteCommand prints invites, and checks that each refusal says what to do.
func TestInviteCommand(t *testing.T) {
	c := installCommands(t, nil)
	_, token := c.ory.Add(1)
	user := c.signIn(t, token)
	const guest = "2d000000-0000-4000-8000-000000000001"
	cmdtest.Exec(t, c.DB, `insert into symbolon_users (id) values ('`+guest+`')`)
	for _, args := range [][]string{{}, {"--json"}, {"--for", "30d"}} {
		code, out, errs := runIn(t, c.env, append([]string{"invite", guest}, args...)...)
		var invite link.Invite
		if err := json.Unmarshal([]byte(out), &invite); code != 0 || err != nil || string(invite.User) != guest || !strings.HasPrefix(invite.Text, "i1.") || invite.Expires.IsZero() {
			t.Errorf("%v: %d %s %s", args, code, out, errs)
		}
	}
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{user}, 1, "symbolon show " + user},
		{[]string{"42"}, 1, "make the user first"},
		{[]string{guest, "--for", "31d"}, 2, "1s to 30d"},
		{[]string{"\x1b[2J"}, 2, "text of 1 to 255 bytes"},
	} {
		code, out, errs := runIn(t, c.env, append([]string{"invite"}, tt.args...)...)
		if code != tt.code || out != "" || !strings.Contains(errs, tt.says) {
			t.Errorf("%v: %d %s %s", tt.args, code, out, errs)
		}
	}
	c.env["SYMBOLON_BACK_REFERENCE_WRITE"] = "none"
	if code, _, errs := runIn(t, c.env, "invite", guest); code != 1 || !strings.Contains(errs, "hooks.invites: true") {
		t.Errorf("without the reserve hook: %d %s", code, errs)
	}
	c.env["SYMBOLON_HOOKS_INVITES"] = "true"
	if code, _, errs := runIn(t, c.env, "invite", guest); code != 0 {
		t.Errorf("with hooks.invites: %d %s", code, errs)
	}
}
