package setup

import (
	"cmp"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/mint"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// The names that a column commonly has, the likeliest first.
var (
	identityWords = []string{"ory_identity_id", "identity_id", "kratos_identity_id", "kratos_id", "ory_id", "ory_identity", "ory"}
	emailWords    = []string{"email", "e_mail", "email_address", "mail", "emailaddress"}
	nameWords     = []string{"name", "full_name", "display_name", "fullname"}
	createdWords  = []string{"createdat", "datejoined", "insertedat"}
	touchWords    = []string{"updatedat", "modifiedat", "lastmodified"}
	activeWords   = []string{"active", "is_active", "enabled", "is_enabled"}
)

// propose sets those configuration keys of the users table that the operator has not given, and
// finds the conditions that users.deny probably should have.
func (p *plan) propose(t sqlstore.Table) {
	u := &p.config.Users
	if !p.given("users.id") {
		u.ID = proposeKey(t)
	}
	if !p.given("users.identity") {
		u.Identity = proposeIdentity(t)
	}
	if !p.given("users.new_id") {
		u.NewID = proposeNewID(t, u.ID)
	}
	denies := maybeDenies(t)
	if u.Columns == nil {
		u.Columns = proposeColumns(t, u.ID, u.Identity)
		if p.state = stateColumn(u.Columns); p.state != "" && p.mayHaveRows(t) {
			c, _ := t.Column(p.state)
			keepState(u.Columns, c)
			denies = append(denies, denyInactive(c))
		} else {
			p.state = ""
		}
	}
	if len(u.Deny) == 0 {
		p.denies = denies
	}
}

// stateColumn returns the column that shows the identity's state, or "".
func stateColumn(columns map[string]string) string {
	for name, expression := range columns {
		if expression == "active" {
			return name
		}
	}
	return ""
}

// keepState leaves the state of existing rows to the application. A constant fills only new rows.
func keepState(columns map[string]string, c sqlstore.Column) {
	delete(columns, c.Name)
	if !c.Default && !c.Triggered {
		columns[c.Name] = "true"
	}
}

// mayHaveRows reports whether the table has rows, or cannot be read.
func (p *plan) mayHaveRows(t sqlstore.Table) bool {
	u := p.config.Users
	if _, ok := t.Column(u.ID); !ok {
		return true
	}
	store := &sqlstore.Store{DB: p.system.DB, Dialect: p.system.Store.Dialect,
		Users: sqlstore.Users{Table: u.Table, ID: u.ID, Identity: u.Identity, NewID: u.NewID}}
	rows, err := store.Sample(p.Ctx, u.ID)
	return err != nil || len(rows) > 0
}

func proposeKey(t sqlstore.Table) string {
	for _, c := range t.Columns {
		if c.Key {
			return c.Name
		}
	}
	return "id"
}

func proposeIdentity(t sqlstore.Table) string {
	return cmp.Or(pick(t, identityWords, func(c sqlstore.Column) bool { return c.Holds && !c.Key }), "ory_identity_id")
}

// maybeIdentities are the columns whose names say that they may hold an identity's ID, but are
// not among identityWords.
func maybeIdentities(t sqlstore.Table) (names []string) {
	for _, c := range t.Columns {
		name := strings.ToLower(c.Name)
		named := strings.Contains(name, "identity") || strings.Contains(name, "kratos") ||
			strings.HasPrefix(name, "ory") || slices.Contains(strings.Split(name, "_"), "ory") // not history, not category
		if named && c.Holds && !c.Key {
			names = append(names, c.Name)
		}
	}
	return names
}

func proposeNewID(t sqlstore.Table, key string) symbolon.NewID {
	c, ok := t.Column(key)
	switch {
	case ok && (c.Integer || c.Text && c.Default || c.Triggered):
		return symbolon.ByDatabase
	case ok && c.Limit > 0 && c.Limit < 36:
		for _, template := range []symbolon.NewID{"{ulid}", "{nanoid}"} {
			if mint.TemplateLength(string(template)) <= c.Limit {
				return template
			}
		}
	}
	return symbolon.ByMint
}

// proposeColumns are the columns with common names, and those that must not be null.
func proposeColumns(t sqlstore.Table, key, identity string) map[string]string {
	out := map[string]string{}
	propose := func(words []string, expression string, fits func(sqlstore.Column) bool) {
		if name := pick(t, words, fits); name != "" && name != key && name != identity {
			out[name] = expression
		}
	}
	propose(emailWords, "traits.email", func(c sqlstore.Column) bool { return c.Text })
	propose(activeWords, "active", func(c sqlstore.Column) bool { return strings.HasPrefix(strings.ToLower(c.Type), "bool") })
	for _, c := range t.Columns {
		if c.Time && slices.Contains(touchWords, strings.ToLower(strings.ReplaceAll(c.Name, "_", ""))) && !c.Triggered && c.Name != key && c.Name != identity {
			out[c.Name] = "updated_at" // an ORM fills it, not the database
			continue
		}
		if c.Time && slices.Contains(createdWords, strings.ToLower(strings.ReplaceAll(c.Name, "_", ""))) && !c.Default && !c.Triggered && c.Name != key && c.Name != identity {
			out[c.Name] = "now"
			continue
		}
		if !c.NotNull || c.Default || c.Triggered || c.Name == key || c.Name == identity || out[c.Name] != "" {
			continue
		}
		switch {
		case c.Time:
			out[c.Name] = "now"
		case strings.HasPrefix(strings.ToLower(c.Type), "bool"):
			out[c.Name] = "false"
		case c.Text && c.Unique: // one constant would fit one person only
			out[c.Name] = "[traits.username, traits.email, traits.phone]"
		case c.Text && slices.Contains(nameWords, strings.ToLower(c.Name)):
			out[c.Name] = "default(traits.name, '')"
		case c.Text:
			out[c.Name] = "''"
		default:
			out[c.Name] = "0"
		}
	}
	return out
}

// pick returns the first column with one of the names, in the order of the names.
func pick(t sqlstore.Table, words []string, fits func(sqlstore.Column) bool) string {
	for _, word := range words {
		for _, c := range t.Columns {
			if strings.EqualFold(strings.ReplaceAll(c.Name, "_", ""), strings.ReplaceAll(word, "_", "")) && fits(c) { // oryIdentityId
				return c.Name
			}
		}
	}
	return ""
}
