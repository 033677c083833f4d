package setup

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/doctor"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/projection"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// answer asks everything, in an order in which each answer helps the next proposal.
func (p *plan) answer() error {
	p.config = config.Defaults()
	for _, step := range []func() error{p.answerCreate, p.askOry, p.askURL, p.askDatabase, p.askTable, p.askColumns, p.askEnding} {
		if err := step(); err != nil {
			return err
		}
	}
	return p.ask.unanswered()
}

// env is what the environment says of a key, which wins over the file in any case.
func (p *plan) envOr(flag, path string) string {
	if flag != "" {
		return flag
	}
	return p.Env[config.EnvName(path)]
}

func checkURL(text string) error { return ory.CheckURL(text) }

func (p *plan) askOry() (err error) {
	o := &p.config.Ory
	o.Token = config.Hidden(p.Env[config.EnvName("ory.token")])
	found := p.answers("http://127.0.0.1:4433")
	text := "Where is Ory's public API (nobody answers there yet)"
	if found {
		text = "Where is Ory's public API (one answers there)"
	}
	o.PublicURL, err = p.ask.get(question{"ory-public-url", p.envOr(p.flags.OryPublicURL, "ory.public_url"), text, o.PublicURL, checkURL})
	if err != nil {
		return err
	}
	if o.PublicURL != "http://127.0.0.1:4433" && !p.answers(o.PublicURL) {
		_, _ = fmt.Fprintf(p.Err, "symbolon: warning: no Ory answers at %s yet\n", cli.Plain(o.PublicURL))
	}
	o.AdminURL, err = p.ask.get(question{"ory-admin-url", p.envOr(p.flags.OryAdminURL, "ory.admin_url"),
		"Where is Ory's admin API, or none", adminOf(o.PublicURL), func(s string) error {
			if s == none {
				return nil
			}
			return checkURL(s)
		}})
	if o.AdminURL == none {
		o.AdminURL = ""
	}
	return err
}

// adminOf guesses: Ory Network has one address for both, Kratos the next port.
func adminOf(public string) string {
	if strings.Contains(public, ".oryapis.com") {
		return public
	}
	if base, ok := strings.CutSuffix(strings.TrimSuffix(public, "/"), ":4433"); ok {
		return base + ":4434"
	}
	return none
}

func (p *plan) answers(public string) bool {
	c := &ory.Client{PublicURL: public, Timeout: 2 * time.Second}
	defer c.CloseIdleConnections()
	if c.Check() != nil {
		return false
	}
	probe, err := c.ProbeWhoami(p.Ctx)
	return err == nil && probe.Kratos
}

func (p *plan) askURL() (err error) {
	p.config.Serve.URL, err = p.ask.get(question{"url", p.envOr(p.flags.URL, "serve.url"),
		"Where does Ory reach Symbolon (not at 127.0.0.1 if Ory runs in a container)", p.config.Serve.URL, checkURL})
	return err
}

// askDatabase connects, unless it is a SQLite file that is still to be made.
func (p *plan) askDatabase() error {
	text, has := "Which database has the users", "Symbolon's own users table"
	if p.config.Users.CreateURL != "" {
		text, has = "Which database keeps the bonds", "the bonds"
	}
	dsn, err := p.ask.get(question{"database", p.envOr(p.flags.Database, "database"), text, string(p.config.Database), func(s string) error {
		return (&config.Config{Database: config.Hidden(s)}).CheckDatabase()
	}})
	if err != nil {
		return err
	}
	p.config.Database = config.Hidden(dsn)
	db, dialect, err := system.OpenDatabase(p.config, system.ExistingFile)
	if strings.HasPrefix(dsn, "sqlite://") && err != nil {
		_, _ = fmt.Fprintf(p.Err, "symbolon: %s; it will have %s\n", cli.Plain(err.Error()), has)
		return nil
	}
	if err != nil {
		return err
	}
	p.db = &system.System{Config: p.config, DB: db, Ory: system.NewClient(p.config), Store: system.NewStore(p.config, db, dialect)}
	if err := system.Ping(p.Ctx, db); err != nil {
		return err
	}
	p.tables, err = sqlstore.Tables(p.Ctx, db, dialect)
	return err
}

func (p *plan) askTable() error {
	u := &p.config.Users
	if u.CreateURL != "" {
		return nil
	}
	text := "Which table has the users"
	if names := p.tableNames(); len(names) > 0 {
		text += " (" + strings.Join(names, ", ") + ")"
	}
	var err error
	u.Table, err = p.ask.get(question{"table", p.envOr(p.flags.Table, "users.table"), text, proposeTable(p.tables), func(s string) error {
		if s != config.OwnTable && p.db == nil {
			return errors.New("there is no database yet that could have it")
		}
		if s != config.OwnTable && !slices.Contains(p.tableNames(), s) {
			return fmt.Errorf("there is no such table; there are: %s", strings.Join(p.tableNames(), ", "))
		}
		return nil
	}})
	if err != nil || u.Table == config.OwnTable {
		return err
	}
	table := p.table()
	for _, q := range []struct {
		to *string
		question
	}{
		{&u.ID, question{"id", p.envOr(p.flags.ID, "users.id"), "Its primary key", proposeKey(table), nil}},
		{&u.Identity, question{"identity", p.envOr(p.flags.Identity, "users.identity"), "The column for the identity's ID (it is added where it is missing)", proposeIdentity(table), nil}},
	} {
		if *q.to, err = p.ask.get(q.question); err != nil {
			return err
		}
	}
	how, err := p.ask.get(question{"new-id", p.envOr(p.flags.NewID, "users.new_id"),
		"Where do new users get their ID: uuidv7 (Symbolon mints it), database (its default), identity (the identity's ID)", proposeNewID(table, u.ID), oneOf(config.NewIDs...)})
	u.NewID = symbolon.NewID(how)
	return err
}

func (p *plan) tableNames() (names []string) {
	for _, t := range p.tables {
		names = append(names, t.Name)
	}
	return names
}

func (p *plan) table() sqlstore.Table {
	i := slices.IndexFunc(p.tables, func(t sqlstore.Table) bool { return t.Name == p.config.Users.Table })
	if i < 0 {
		return sqlstore.Table{}
	}
	return p.tables[i]
}

// askColumns asks what fills the e-mail column, and each that no row can do without.
func (p *plan) askColumns() error {
	u := &p.config.Users
	if u.CreateURL != "" && len(p.flags.Column) > 0 {
		return p.givenColumns()
	}
	if u.Table == config.OwnTable {
		u.Columns = config.OwnColumns()
		return nil
	}
	if len(p.flags.Column) > 0 {
		return p.givenColumns()
	}
	u.Columns = map[string]string{}
	proposals := proposeColumns(p.table(), u.ID, u.Identity)
	for _, column := range slices.Sorted(maps.Keys(proposals)) {
		answer, err := p.ask.get(question{"column", "", fmt.Sprintf("What fills column %s: a path (traits.…, active), default(path, 'x'), a literal, or none", column), proposals[column], func(s string) error {
			if s == none {
				return nil
			}
			_, err := projection.Parse(column, s)
			return err
		}})
		if err != nil {
			return err
		}
		if answer != none {
			u.Columns[column] = answer
		}
	}
	return nil
}

func (p *plan) givenColumns() error {
	p.config.Users.Columns = map[string]string{}
	if slices.Equal(p.flags.Column, []string{none}) {
		return nil
	}
	for _, c := range p.flags.Column {
		column, expression, ok := strings.Cut(c, "=")
		if !ok {
			return cli.Usage(fmt.Errorf("--column %s: it must be NAME=PATH, as email=traits.email, or none", cli.Plain(c)))
		}
		p.config.Users.Columns[column] = expression
	}
	return nil
}

// askEnding asks what becomes of rows whose identity is gone, and what must be free then.
func (p *plan) askEnding() error {
	u := &p.config.Users
	if u.CreateURL != "" {
		return nil
	}
	proposal := symbolon.KeepRow
	if u.ActiveColumn() != "" {
		proposal = symbolon.DeactivateRow
	}
	policy, err := p.ask.get(question{"on-identity-deleted", p.envOr(p.flags.OnIdentityDeleted, "users.on_identity_deleted"),
		"What becomes of a row when Ory no longer has its identity: keep, deactivate, anonymise, delete", string(proposal), oneOf(config.RowPolicies...)})
	if err != nil {
		return err
	}
	u.OnIdentityDeleted, u.AnonymiseColumns = symbolon.RowPolicy(policy), p.flags.AnonymiseColumns
	u.ReleaseColumns = p.flags.ReleaseColumns
	if slices.Equal(u.ReleaseColumns, []string{none}) {
		u.ReleaseColumns = nil
	}
	if p.db == nil || len(p.flags.ReleaseColumns) > 0 {
		return nil
	}
	unique, err := system.UsersTable{System: withConfig(p.db, p.config)}.UniqueColumns(p.Ctx)
	if err != nil {
		return err
	}
	stuck := doctor.Stuck(u.OnIdentityDeleted, unique, nil, u.AnonymiseColumns)
	if len(stuck) == 0 {
		return nil
	}
	answer, err := p.ask.get(question{"release-columns", "",
		"Which columns are emptied then, so that what must be unique is free for the next", strings.Join(stuck, ","), func(s string) error {
			for name := range strings.SplitSeq(s, ",") {
				if _, ok := p.table().Column(strings.TrimSpace(name)); !ok && s != none {
					return fmt.Errorf("%s has no column %s", u.Table, cli.Plain(strings.TrimSpace(name)))
				}
			}
			return nil
		}})
	if err == nil && answer != none {
		u.ReleaseColumns = strings.Split(strings.ReplaceAll(answer, " ", ""), ",")
	}
	return err
}

// withConfig is the same database under another configuration.
func withConfig(s *system.System, c *config.Config) *system.System {
	other := *s
	other.Config, other.Store = c, system.NewStore(c, s.DB, s.Store.Dialect)
	return &other
}
