package config

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/projection"
)

// Check returns everything that would not work, or would not be safe, in a *Error.
func (c *Config) Check() error {
	r := &report{where: map[string]string{}}
	c.check(r)
	return r.err()
}

// CheckDatabase returns what is wrong with the address of the database.
func (c *Config) CheckDatabase() error {
	r := &report{where: map[string]string{}}
	c.checkDatabase(r)
	return r.err()
}

// check reports everything that would not work, or would not be safe.
func (c *Config) check(r *report) {
	c.checkOry(r)
	c.checkDatabase(r)
	c.checkSecrets(r)
	c.checkServe(r)
	c.checkHooks(r)
	c.checkUsers(r)
	c.checkAdopt(r)
	c.checkBackReference(r)
	c.checkAuth(r)
	c.checkReconcile(r)
}

var (
	cookieName  = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$") // RFC 6265: a token
	projectName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)
)

func (c *Config) checkOry(r *report) {
	c.Ory.PublicURL = checkAPI(r, "ory.public_url", c.Ory.PublicURL)
	if c.Ory.AdminURL != "" {
		c.Ory.AdminURL = checkAPI(r, "ory.admin_url", c.Ory.AdminURL)
	}
	switch token := c.Ory.Token.Reveal(); {
	case token == "":
	case !visible(token):
		r.fault("ory.token", "it must be visible ASCII without spaces: it travels in a header")
	case c.Ory.AdminURL == "":
		r.fault("ory.token", "it is of no use without ory.admin_url")
	}
	if !cookieName.MatchString(c.Ory.Cookie) {
		r.fault("ory.cookie", "it must be the name of a cookie")
	}
	if !projectName.MatchString(c.Ory.Project) {
		r.fault("ory.project", "it must be a word of letters, digits, '.', '_' and '-'")
	}
}

func (c *Config) checkDatabase(r *report) {
	dsn := c.Database.Reveal()
	scheme, rest, _ := strings.Cut(dsn, "://")
	switch scheme {
	case "sqlite":
		if err := checkSQLitePath(rest); err != nil {
			r.fault("database", "%s", err)
		}
	case "postgres", "postgresql":
		if _, err := pgconn.ParseConfig(dsn); err != nil { // its text quotes the DSN
			r.fault("database", "it is no Postgres address: postgres://user:password@host:5432/name, special characters percent-encoded")
		}
	default:
		r.fault("database", "it must be sqlite://path or postgres://user:password@host:5432/name")
	}
	if c.DatabaseListen != "" {
		checkListen(r, scheme, c.DatabaseListen.Reveal())
	}
	if n := c.DatabasePool.Max; n < 0 || n > 10_000 {
		r.fault("database_pool.max", "it must be between 1 and 10000, or 0 for the default")
	}
	if d := c.DatabasePool.StatementTimeout; d != 0 && (d < 10*time.Millisecond || d > 10*time.Minute) {
		r.fault("database_pool.statement_timeout", "it must be between 10ms and 10m, or 0s for none")
	}
}

func checkListen(r *report, scheme, dsn string) {
	if scheme == "sqlite" {
		r.fault("database_listen", "it is for Postgres only; leave it out beside SQLite")
		return
	}
	if _, err := pgconn.ParseConfig(dsn); err != nil || !strings.HasPrefix(dsn, "postgres://") && !strings.HasPrefix(dsn, "postgresql://") {
		r.fault("database_listen", "it must be postgres://user:password@host:5432/name, and lead to the database without a pooler")
	}
}

func checkSQLitePath(path string) error {
	switch {
	case path == "" || strings.HasSuffix(path, "/"):
		return errors.New("the path of the file is missing: sqlite://symbolon.db, or sqlite:///var/lib/symbolon/symbolon.db")
	case strings.ContainsAny(path, "?#\x00") || strings.HasPrefix(path, ":memory:") || strings.HasPrefix(path, "file:"):
		return errors.New("it must be the plain path of a file, without options")
	}
	return nil
}

func (c *Config) checkSecrets(r *report) {
	if c.Secret == "" {
		r.fault("secret", "it is missing: set SYMBOLON_SECRET to the output of `openssl rand -base64 32`, and keep it")
	} else if _, err := symbolon.ParseSecret(c.Secret.Reveal()); err != nil {
		r.fault("secret", "%s", err)
	}
	for i, s := range c.PreviousSecrets {
		if _, err := symbolon.ParseSecret(s.Reveal()); err != nil {
			r.fault(fmt.Sprintf("previous_secrets[%d]", i), "%s", err)
		}
	}
}

func (c *Config) checkServe(r *report) {
	public, publicOK := checkAddress(r, "serve.public", c.Serve.Public)
	admin, adminOK := checkAddress(r, "serve.admin", c.Serve.Admin)
	if publicOK && adminOK && public.taken(admin) {
		r.fault("serve.admin", "it is the address of serve.public; the operator's side needs its own")
	}
	switch key := c.Serve.AdminKey.Reveal(); {
	case key == "" && adminOK && !admin.loopback():
		r.fault("serve.admin", "an address that other machines reach needs serve.admin_key; 127.0.0.1:4461 needs none")
	case key != "":
		checkKey(r, "serve.admin_key", key)
	}
	if c.Serve.AdminKey != "" && c.Serve.AdminKey == c.Secret {
		r.fault("serve.admin_key", "it must not be the secret: make a key of its own")
	}
	c.Serve.URL = checkAPI(r, "serve.url", c.Serve.URL) // keys and IDs travel there
}

func (c *Config) checkHooks(r *report) {
	owner := map[Hidden]string{}
	if c.Secret != "" {
		owner[c.Secret] = "secret"
	}
	if c.Serve.AdminKey != "" {
		owner[c.Serve.AdminKey] = "serve.admin_key"
	}
	for _, hook := range []struct {
		name string
		keys []Hidden
	}{{"reserve", c.Hooks.Keys.Reserve}, {"link", c.Hooks.Keys.Link}, {"sync", c.Hooks.Keys.Sync}} {
		path := "hooks.keys." + hook.name
		if len(hook.keys) > 2 {
			r.fault(path, "it takes two keys at most: the current one, and the other while they are rotated")
		}
		for i, key := range hook.keys {
			at := fmt.Sprintf("%s[%d]", path, i)
			checkKey(r, at, key.Reveal())
			if other := owner[key]; other != "" {
				r.fault(at, "it is the same as %s; each needs its own", other)
			}
			owner[key] = at
		}
	}
}

// checkKey is for keys that travel in a header.
func checkKey(r *report, path, key string) {
	if !visible(key) {
		r.fault(path, "a key is visible ASCII without spaces: it travels in a header")
	} else if _, err := symbolon.ParseSecret(key); err != nil {
		r.fault(path, "%s", strings.Replace(err.Error(), "secret", "key", 1))
	}
}

func visible(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' })
}

var (
	nameForm    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)
	newIDs      = []symbolon.NewID{symbolon.ByMint, symbolon.ByDatabase, symbolon.ByIdentity}
	onDeleted   = []link.OnUserDeleted{link.DenyDeleted, link.RecreateDeleted}
	rowPolicies = []symbolon.RowPolicy{symbolon.KeepRow, symbolon.DeactivateRow, symbolon.AnonymiseRow, symbolon.DeleteRow}
	writes      = []link.Write{link.WriteNone, link.WriteReserve, link.WriteCreate, link.WriteRepair}
)

const projectionRule = "it is neither a path (traits.…, metadata_public.…, active, verified_email), default(path, 'x') nor a literal ('x', 42, true); in YAML a literal text is \"'x'\""

const nameRule = "it must be letters, digits and '_', not beginning with a digit, at most 63 of them"

func (c *Config) checkUsers(r *report) {
	u := &c.Users
	checkOneOf(r, "users.on_user_deleted", u.OnUserDeleted, onDeleted)
	c.checkCreate(r)
	c.checkEndings(r)
	if u.CreateURL != "" {
		return
	}
	schema, table, dotted := strings.Cut(u.Table, ".")
	if !nameForm.MatchString(schema) || dotted && !nameForm.MatchString(table) {
		r.fault("users.table", "it must be a name or schema.name: letters, digits and '_', not beginning with a digit, at most 63 of them")
	}
	for _, name := range []struct{ path, value string }{{"users.id", u.ID}, {"users.identity", u.Identity}} {
		if !nameForm.MatchString(name.value) {
			r.fault(name.path, nameRule)
		}
	}
	if u.ID == u.Identity && u.NewID != symbolon.ByIdentity {
		r.fault("users.identity", "it can be the column of users.id only where users.new_id is identity")
	}
	checkOneOf(r, "users.new_id", u.NewID, newIDs)
	for _, column := range slices.Sorted(maps.Keys(u.Columns)) {
		expr := u.Columns[column]
		path := "users.columns." + shown(column)
		switch _, err := projection.Parse(column, expr); {
		case !nameForm.MatchString(column):
			r.fault(path, "the column's name: "+nameRule)
		case column == u.ID || column == u.Identity:
			r.fault(path, "Symbolon writes this column itself; leave it out")
		case err != nil:
			r.fault(path, projectionRule)
		}
	}
}

// checkEndings is about rows whose identity is gone.
func (c *Config) checkEndings(r *report) {
	u := &c.Users
	checkOneOf(r, "users.on_identity_deleted", u.OnIdentityDeleted, rowPolicies)
	if u.OnIdentityDeleted == symbolon.DeactivateRow && u.activeColumn() == "" {
		r.fault("users.on_identity_deleted", "deactivate needs a column in users.columns that is filled from the path active")
	}
	for _, list := range []struct {
		path    string
		columns []string
	}{{"users.release_columns", u.ReleaseColumns}, {"users.anonymise_columns", u.AnonymiseColumns}} {
		for i, column := range list.columns {
			at := fmt.Sprintf("%s[%d]", list.path, i)
			switch {
			case !nameForm.MatchString(column):
				r.fault(at, "the column's name: "+nameRule)
			case column == u.ID || column == u.Identity:
				r.fault(at, "Symbolon keeps this column itself; leave it out")
			}
		}
	}
	if d := c.Deletion.ProofGap; d < time.Second || d > time.Hour {
		r.fault("deletion.proof_gap", "it must be between 1s and 1h: so long lies between the two looks that prove an identity gone")
	}
}

// activeColumn is the column that is filled from "active"; empty: none is.
func (u *UsersConfig) activeColumn() string {
	for _, column := range slices.Sorted(maps.Keys(u.Columns)) {
		if p, err := projection.Parse(column, u.Columns[column]); err == nil && p.Path == "active" {
			return column
		}
	}
	return ""
}

func checkOneOf[T ~string](r *report, path string, value T, allowed []T) {
	if !slices.Contains(allowed, value) {
		words := make([]string, len(allowed))
		for i, a := range allowed {
			words[i] = string(a)
		}
		r.fault(path, "it must be one of %s", strings.Join(words, ", "))
	}
}

var metadataKey = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (c *Config) checkBackReference(r *report) {
	if key, ok := strings.CutPrefix(c.BackReference.Path, "metadata_public."); !ok || !metadataKey.MatchString(key) {
		r.fault("back_reference.path", "it must be metadata_public.KEY, one key below metadata_public")
	}
	checkOneOf(r, "back_reference.write", c.BackReference.Write, writes)
}

func (c *Config) checkReconcile(r *report) {
	if d := c.Reconcile.Every; d != 0 && (d < time.Second || d > 7*24*time.Hour) {
		r.fault("reconcile.every", "it must be between 1s and 168h, or 0s for never")
	}
	if _, ok := Percent(c.Reconcile.Load); !ok {
		r.fault("reconcile.load", "it must be a share between 1%% and 100%%, such as 10%%")
	}
}

// Percent reads a share such as 10% or 2.5%.
func Percent(text string) (share float64, ok bool) {
	digits, ok := strings.CutSuffix(text, "%")
	n, err := strconv.ParseFloat(digits, 64)
	return n / 100, ok && err == nil && n >= 1 && n <= 100
}

func (c *Config) checkAuth(r *report) {
	if d := c.Auth.MaxStale; d <= 0 || d > time.Hour {
		r.fault("auth.max_stale", "it must be more than 0 and at most 1h: so long a revoked session may still be let in")
	}
	if d := c.Auth.OutageGrace; d < 0 || d > time.Hour {
		r.fault("auth.outage_grace", "it must be at most 1h: so much longer is let in who was revoked just before Ory stopped to answer")
	}
	c.checkHeaders(r)
	c.checkJWT(r)
	c.checkProxies(r)
}

var (
	headerName = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

	// headerDefaults are the headers of /auth by what auth.headers calls them.
	headerDefaults = map[string]string{"user_id": "X-User-Id", "identity_id": "X-Identity-Id", "session_id": "X-Session-Id",
		"aal": "X-Auth-Aal", "email": "X-Auth-Email", "assertion": "X-Auth-Assertion"}
)

func (c *Config) checkHeaders(r *report) {
	known := slices.Sorted(maps.Keys(headerDefaults))
	for _, key := range slices.Sorted(maps.Keys(c.Auth.Headers)) {
		if headerDefaults[key] == "" {
			r.fault("auth.headers."+shown(key), "there is no such header%s", didYouMean(key, known))
		}
	}
	owner := map[string]string{}
	for _, key := range known {
		name, path := c.HeaderName(key), "auth.headers."+key
		switch other := owner[strings.ToLower(name)]; {
		case !headerName.MatchString(name):
			r.fault(path, "it must be letters, digits and '-': proxies take '_' and '-' for the same")
		case other != "":
			r.fault(path, "it has the name of %s", other)
		}
		owner[strings.ToLower(name)] = key
	}
}

// HeaderName is the name of one of the headers of /auth.
func (c *Config) HeaderName(key string) string {
	if name, ok := c.Auth.Headers[key]; ok {
		return name
	}
	return headerDefaults[key]
}
