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
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/internal/condition"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/mint"
	"github.com/symbolon-id/symbolon/projection"
)

// Check returns a *Error with every value that cannot work or is not safe.
func (c *Config) Check() error {
	r := &report{where: map[string]string{}}
	c.check(r)
	return r.err()
}

// CheckDatabase returns the faults of the database's address.
func (c *Config) CheckDatabase() error {
	r := &report{where: map[string]string{}}
	c.checkDatabase(r)
	return r.err()
}

func (c *Config) check(r *report) {
	for _, section := range []func(*report){c.checkOry, c.checkDatabase, c.checkSecrets, c.checkServe, c.checkHooks, c.checkUsers,
		c.checkAdopt, c.checkBackReference, c.checkAuth, c.checkReconcile} {
		section(r)
	}
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
	token := c.Ory.Token.Reveal()
	r.rules(
		rule{!visible(token), "ory.token", "it must be visible ASCII without spaces, because it is sent in a header"},
		rule{token != "" && c.Ory.AdminURL == "", "ory.token", "it has no effect without ory.admin_url"},
		rule{!cookieName.MatchString(c.Ory.Cookie), "ory.cookie", "it must be the name of a cookie"},
		rule{!projectName.MatchString(c.Ory.Project), "ory.project", "it must be a word of letters, digits, '.', '_' and '-'"},
	)
}

func (c *Config) checkDatabase(r *report) {
	dsn := c.Database.Reveal()
	scheme, rest, _ := strings.Cut(dsn, "://")
	switch scheme {
	case "sqlite":
		r.faultIn("database", checkSQLitePath(rest))
	case "postgres", "postgresql":
		_, err := pgconn.ParseConfig(dsn) // err quotes the DSN, so its text is not shown
		r.faultIf(err != nil, "database", "it must be a Postgres address: postgres://user:password@host:5432/name, with special characters percent-encoded")
	default:
		r.fault("database", "it must be sqlite://path or postgres://user:password@host:5432/name")
	}
	if c.DatabaseListen != "" {
		checkListen(r, scheme, c.DatabaseListen.Reveal())
	}
	n := c.DatabasePool.Max
	r.rules(
		rule{n < 0 || n > 10_000, "database_pool.max", "it must be between 1 and 10000, or 0 for the default"},
		rule{outside(c.DatabasePool.StatementTimeout, 10*time.Millisecond, 10*time.Minute), "database_pool.statement_timeout", "it must be between 10ms and 10m, or 0s for none"},
	)
}

func checkListen(r *report, scheme, dsn string) {
	_, err := pgconn.ParseConfig(dsn)
	r.rules(
		rule{scheme == "sqlite", "database_listen", "it is for Postgres only; leave it out with SQLite"},
		rule{err != nil || !strings.HasPrefix(dsn, "postgres://") && !strings.HasPrefix(dsn, "postgresql://"),
			"database_listen", "it must be postgres://user:password@host:5432/name, the address of the database itself, not of a pooler"},
	)
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
	r.faultIf(c.Secret == "", "secret", "it is missing: set SYMBOLON_SECRET to the output of `openssl rand -base64 32`, and keep it")
	_, err := symbolon.ParseSecret(c.Secret.Reveal())
	r.faultIn("secret", err)
	owner := map[Hidden]string{c.Secret: "secret"}
	other := func(path string, s Hidden) {
		_, err := symbolon.ParseSecret(s.Reveal())
		r.faultIn(path, err)
		r.faultIf(owner[s] != "", path, "it is the same as %s; each must be different", owner[s])
		owner[s] = path
	}
	if c.NextSecret != "" {
		other("next_secret", c.NextSecret)
	}
	for i, s := range c.PreviousSecrets {
		other(fmt.Sprintf("previous_secrets[%d]", i), s)
	}
}

// MaxDrain is the longest serve.drain. It leaves a second for the last requests.
const MaxDrain = 7 * time.Second

func (c *Config) checkServe(r *report) {
	public, publicOK := checkAddress(r, "serve.public", c.Serve.Public)
	admin, adminOK := checkAddress(r, "serve.admin", c.Serve.Admin)
	key := c.Serve.AdminKey
	if key != "" {
		checkKey(r, "serve.admin_key", key.Reveal())
	}
	r.rules(
		rule{publicOK && adminOK && public.taken(admin), "serve.admin", "it is the same address as serve.public; the operator's listener needs another one"},
		rule{key == "" && adminOK && !IsLoopback(admin.host), "serve.admin", "an address that other machines can reach needs serve.admin_key; 127.0.0.1:4461 does not need a key"},
		rule{c.Serve.Drain < 0 || c.Serve.Drain > MaxDrain, "serve.drain", "it must be at most 7s, or 0s for none: the server ends within 10 seconds after the signal, because container tools kill it then"},
		rule{key != "" && key == c.Secret, "serve.admin_key", "it must not be the secret: make a separate key"},
	)
	c.Serve.URL = checkAPI(r, "serve.url", c.Serve.URL) // keys and IDs are sent there
}

func (c *Config) checkHooks(r *report) {
	owner := map[Hidden]string{c.Secret: "secret", c.Serve.AdminKey: "serve.admin_key"}
	delete(owner, "")
	for _, hook := range []struct {
		name string
		keys []Hidden
	}{{"reserve", c.Hooks.Keys.Reserve}, {"link", c.Hooks.Keys.Link}, {"sync", c.Hooks.Keys.Sync}} {
		path := "hooks.keys." + hook.name
		r.faultIf(len(hook.keys) > 2, path, "at most two keys are allowed: the current key, and during a rotation a second key")
		for i, key := range hook.keys {
			at := fmt.Sprintf("%s[%d]", path, i)
			checkKey(r, at, key.Reveal())
			r.faultIf(owner[key] != "", at, "it is the same as %s; each must be different", owner[key])
			owner[key] = at
		}
	}
}

// checkKey is for keys that are sent in a header.
func checkKey(r *report, path, key string) {
	r.faultIf(!visible(key), path, "a key must be visible ASCII without spaces, because it is sent in a header")
	if _, err := symbolon.ParseSecret(key); err != nil {
		r.fault(path, "%s", strings.Replace(err.Error(), "secret", "key", 1))
	}
}

func visible(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' })
}

var (
	newIDs      = []symbolon.NewID{symbolon.ByMint, symbolon.ByDatabase, symbolon.ByIdentity}
	onReturn    = []link.OnReturn{link.ReturnNew, link.ReturnRestore, link.ReturnAsk}
	onDeleted   = []link.OnUserDeleted{link.DenyDeleted, link.RecreateDeleted}
	rowPolicies = []symbolon.RowPolicy{symbolon.KeepRow, symbolon.DeactivateRow, symbolon.AnonymiseRow, symbolon.DeleteRow}
	writes      = []link.Write{link.WriteNone, link.WriteReserve, link.WriteCreate, link.WriteRepair}
)

const projectionRule = "it must be " + projection.Forms + "; in YAML, write a literal text as \"'x'\""

const nameRule = "it must be " + condition.NameRule

func (c *Config) checkUsers(r *report) {
	u := &c.Users
	checkOneOf(r, "users.on_user_deleted", u.OnUserDeleted, onDeleted)
	c.checkCreate(r)
	c.checkEndings(r)
	u.checkDeny(r)
	u.When.check(r)
	if u.CreateURL != "" {
		return
	}
	schema, table, dotted := strings.Cut(u.Table, ".")
	r.rules(
		rule{!condition.IsName(schema) || dotted && !condition.IsName(table), "users.table", "it must be a name or schema.name; " + nameRule},
		rule{!condition.IsName(u.ID), "users.id", nameRule},
		rule{!condition.IsName(u.Identity), "users.identity", nameRule},
		rule{u.ID == u.Identity && u.NewID != symbolon.ByIdentity, "users.identity", "it can be the column of users.id only if users.new_id is identity"},
	)
	if u.NewID.Template() {
		r.faultIn("users.new_id", mint.CheckTemplate(string(u.NewID)))
	} else {
		r.faultIf(!slices.Contains(newIDs, u.NewID), "users.new_id",
			"it must be one of uuidv7, database, identity, or a template with one of {ulid}, {uuidv4}, {uuidv7} and {nanoid}, such as usr_{ulid}")
	}
	if p := u.Placeholder; p != "" {
		r.rules(
			rule{!strings.Contains(p, "{user}"), "users.placeholder", "it must contain {user}, which stands for the user's ID, so that each row has its own: moving-{user}@example.invalid"},
			rule{len(p) > 200 || cli.Plain(p) != p, "users.placeholder", "it must be at most 200 visible characters"},
		)
	}
	u.checkColumns(r, func(path, column string) { u.checkColumn(r, path, column) })
}

// checkColumns checks users.columns. name checks the name of a column.
func (u *UsersConfig) checkColumns(r *report, name func(path, column string)) {
	for _, column := range slices.Sorted(maps.Keys(u.Columns)) {
		path := "users.columns." + shown(column)
		name(path, column)
		p, err := projection.Parse(column, u.Columns[column])
		_, now := p.Literal.(projection.Now)
		r.rules(
			rule{err != nil, path, projectionRule},
			rule{u.CreateURL != "" && (now || p.Transient()), path, "leave it out with users.create_url: the application has its own clock and its own sign-up form"},
		)
	}
}

// checkColumn checks the name of a column that is not a key.
func (u *UsersConfig) checkColumn(r *report, path, column string) {
	r.rules(
		rule{!condition.IsName(column), path, "the column's name: " + nameRule},
		rule{column == u.ID || column == u.Identity, path, "Symbolon writes this column itself; leave it out"},
	)
}

// checkEndings checks the keys for rows whose identity is gone.
func (c *Config) checkEndings(r *report) {
	u := &c.Users
	checkOneOf(r, "users.on_identity_deleted", u.OnIdentityDeleted, rowPolicies)
	r.faultIf(u.OnIdentityDeleted == symbolon.DeactivateRow && u.activeColumn() == "", "users.on_identity_deleted", "deactivate needs a column in users.columns that is filled from the path active")
	checkOneOf(r, "users.on_return", u.OnReturn, onReturn)
	if u.OnReturn.Looks() {
		r.rules(
			rule{c.Ory.AdminURL == "", "users.on_return", "it needs ory.admin_url, because Symbolon reads the address at Ory's admin API"},
			rule{u.CreateURL != "", "users.on_return", "leave it out with users.create_url: the application can answer with an existing user"},
			rule{u.OnIdentityDeleted.Ends(), "users.on_return", "it needs users.on_identity_deleted: deactivate or keep, because an anonymised or deleted row cannot be given back"},
			rule{u.CreateURL == "" && u.ID == u.Identity, "users.on_return", "the users' key is the identity's ID, so no other identity can ever get a user"},
		)
	}
	for _, list := range []struct {
		path    string
		columns []string
	}{{"users.release_columns", u.ReleaseColumns}, {"users.anonymise_columns", u.AnonymiseColumns}} {
		for i, column := range list.columns {
			u.checkColumn(r, fmt.Sprintf("%s[%d]", list.path, i), column)
		}
	}
	gap := c.Deletion.ProofGap
	r.faultIf(gap < time.Second || gap > time.Hour, "deletion.proof_gap", "it must be between 1s and 1h: the time between the two requests that prove that an identity is gone")
}

// activeColumn is the column that is filled from "active", or empty.
func (u *UsersConfig) activeColumn() string {
	for _, column := range slices.Sorted(maps.Keys(u.Columns)) {
		if p, err := projection.Parse(column, u.Columns[column]); err == nil && p.Path == "active" {
			return column
		}
	}
	return ""
}

func checkOneOf[T ~string](r *report, path string, value T, allowed []T) {
	var words []string
	for _, a := range allowed {
		words = append(words, string(a))
	}
	r.faultIf(!slices.Contains(allowed, value), path, "it must be one of %s", strings.Join(words, ", "))
}

var metadataKey = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (c *Config) checkBackReference(r *report) {
	key, ok := strings.CutPrefix(c.BackReference.Path, "metadata_public.")
	r.faultIf(!ok || !metadataKey.MatchString(key), "back_reference.path", "it must be metadata_public.KEY, one key below metadata_public")
	checkOneOf(r, "back_reference.write", c.BackReference.Write, writes)
}

func (c *Config) checkReconcile(r *report) {
	_, ok := Percent(c.Reconcile.Load)
	r.rules(
		rule{outside(c.Reconcile.Every, time.Second, 7*24*time.Hour), "reconcile.every", "it must be between 1s and 168h, or 0s for never"},
		rule{!ok, "reconcile.load", "it must be a share between 1% and 100%, such as 10%"},
		rule{c.Retention != 0 && c.Retention < 24*time.Hour, "retention", "it must be at least 24h, or 0s to keep everything"},
	)
}

// Percent reads a share such as 10% or 2.5%.
func Percent(text string) (share float64, ok bool) {
	digits, ok := strings.CutSuffix(text, "%")
	n, err := strconv.ParseFloat(digits, 64)
	return n / 100, ok && err == nil && n >= 1 && n <= 100
}

func (c *Config) checkAuth(r *report) {
	a := &c.Auth
	r.rules(
		rule{a.MaxStale <= 0 || a.MaxStale > time.Hour, "auth.max_stale", "it must be more than 0 and at most 1h: the time for which a revoked session may still be accepted"},
		rule{a.OutageGrace < 0 || a.OutageGrace > time.Hour, "auth.outage_grace",
			"it must be at most 1h: while Ory does not answer, a revoked session may be accepted for this additional time"},
	)
	c.checkHeaders(r)
	c.checkJWT(r)
	c.checkProxies(r)
}

var (
	headerName = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

	// headerDefaults are the names of the headers of /auth, by their keys in auth.headers.
	headerDefaults = map[string]string{"user_id": "X-User-Id", "identity_id": "X-Identity-Id", "session_id": "X-Session-Id",
		"aal": "X-Auth-Aal", "email": "X-Auth-Email", "assertion": "X-Auth-Assertion"}

	// headerFields are their fields in forwardauth.Headers.
	headerFields = map[string]string{"user_id": "UserID", "identity_id": "IdentityID", "session_id": "SessionID",
		"aal": "AAL", "email": "Email", "assertion": "Assertion"}
)

func (c *Config) checkHeaders(r *report) {
	known := slices.Sorted(maps.Keys(headerDefaults))
	for _, key := range slices.Sorted(maps.Keys(c.Auth.Headers)) {
		r.faultIf(headerDefaults[key] == "", "auth.headers."+shown(key), "there is no such header%s", didYouMean(key, known))
	}
	owner := map[string]string{}
	for _, key := range known {
		name, path := c.HeaderName(key), "auth.headers."+key
		switch other := owner[strings.ToLower(name)]; {
		case !headerName.MatchString(name):
			r.fault(path, "it must be letters, digits and '-', because proxies treat '_' and '-' alike")
		case other != "":
			r.fault(path, "it has the same name as %s", other)
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
