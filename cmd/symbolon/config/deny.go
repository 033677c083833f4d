package config

import (
	"fmt"
	"maps"
	"slices"

	"github.com/symbolon-id/symbolon/internal/condition"
)

// checkDeny checks the codes and the conditions of users.deny. Only the database knows the
// columns.
func (u *UsersConfig) checkDeny(r *report) {
	r.faultIf(u.CreateURL != "" && len(u.Deny) > 0, "users.deny", "it needs a users table; with users.create_url the rows are in your application")
	for _, code := range slices.Sorted(maps.Keys(u.Deny)) {
		path := "users.deny." + shown(code)
		r.faultIn(path, condition.CheckCode(code))
		if _, err := condition.Parse(u.Deny[code]); err != nil {
			r.fault(path, "it must be a condition such as `deleted_at is not null` or `suspended` (docs/deny.md); %s", err)
		}
	}
}

func (w *WhenConfig) check(r *report) {
	for i, id := range w.SchemaID {
		path := fmt.Sprintf("users.when.schema_id[%d]", i)
		r.rules(
			rule{id == "" || len(id) > 255, path, "it must be the ID of an identity schema of Ory, such as customer"},
			rule{slices.Contains(w.SchemaID[:i], id), path, "it is there twice"},
		)
	}
}
