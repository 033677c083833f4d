package setup

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/createurl"
)

// answerCreate answers everything about the users table where the application makes its
// users itself: there is none that Symbolon writes.
func (p *plan) answerCreate() error {
	u := &p.config.Users
	u.CreateURL = p.envOr(p.flags.CreateURL, "users.create_url")
	if u.CreateURL == "" {
		return nil
	}
	if err := createurl.CheckURL(u.CreateURL); err != nil {
		return cli.Usage(fmt.Errorf("--create-url: %w", err))
	}
	f := p.flags
	for flag, given := range map[string]bool{"table": f.Table != "", "id": f.ID != "", "identity": f.Identity != "", "new-id": f.NewID != "", "apply": f.Apply,
		"on-identity-deleted": f.OnIdentityDeleted != "", "release-columns": f.ReleaseColumns != nil, "anonymise-columns": f.AnonymiseColumns != nil} {
		if given {
			return cli.Usage(fmt.Errorf("--%s is of no use with --create-url: Symbolon writes no users table then", flag))
		}
	}
	u.OnIdentityDeleted = symbolon.KeepRow
	return nil
}

func renderCreate(b *bytes.Buffer, u config.UsersConfig, line func(int, string, any)) {
	b.WriteString("\nusers:\n")
	line(1, "create_url", u.CreateURL)
	if len(u.Columns) == 0 {
		b.WriteString("  columns: {}\n")
		return
	}
	b.WriteString("  columns:\n")
	for _, column := range slices.Sorted(maps.Keys(u.Columns)) {
		line(2, column, u.Columns[column])
	}
}
