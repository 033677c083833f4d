// Package config is symbolon.yaml. It reads the file and the environment and checks the
// result. All faults are reported at once, and a secret is never shown.
package config

import (
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
)

// Config is symbolon.yaml. Every key can also be set by an environment variable, which
// overrides the file if it is not empty: SYMBOLON_ORY_ADMIN_URL sets ory.admin_url. In a
// variable a list is separated by commas, and a map is a JSON object.
type Config struct {
	Ory OryConfig `yaml:"ory"`

	// Database is sqlite://path (relative to the working directory, or absolute
	// with a third slash) or postgres://user:password@host:5432/name.
	Database     Hidden     `yaml:"database"`
	DatabasePool PoolConfig `yaml:"database_pool"`

	// DatabaseListen is the direct address of the same Postgres, for LISTEN and for
	// migrations. It is needed if Database is a pooler in transaction mode. Without it
	// background work is polled once a second.
	DatabaseListen Hidden `yaml:"database_listen"`

	// Secret is the one secret of the installation, at least 32 bytes. Required.
	Secret Hidden `yaml:"secret"`

	// NextSecret is accepted, and its public keys are published, but it signs nothing. It is
	// the first step of a change of Secret (docs/rotation.md). Optional.
	NextSecret Hidden `yaml:"next_secret"`

	// PreviousSecrets are still accepted after a change of Secret.
	PreviousSecrets []Hidden `yaml:"previous_secrets"`

	Serve         ServeConfig         `yaml:"serve"`
	Hooks         HooksConfig         `yaml:"hooks"`
	Users         UsersConfig         `yaml:"users"`
	Adopt         AdoptConfig         `yaml:"adopt"`
	Deletion      DeletionConfig      `yaml:"deletion"`
	BackReference BackReferenceConfig `yaml:"back_reference"`
	Auth          AuthConfig          `yaml:"auth"`
	Reconcile     ReconcileConfig     `yaml:"reconcile"`

	// Retention is how long events, closed findings and ended runs are kept, unless the
	// ledger needs them. 0: for ever.
	Retention time.Duration `yaml:"retention"`
}

// OryConfig is the address of Ory.
type OryConfig struct {
	// PublicURL is the public API, which answers whoami.
	PublicURL string `yaml:"public_url"`

	// AdminURL is the admin API. Optional: without it no identity is re-read, and only the
	// reserve hook writes back-references.
	AdminURL string `yaml:"admin_url"`

	// Token authenticates at the admin API of Ory Network.
	Token Hidden `yaml:"token"`

	// Cookie is the name of Ory's session cookie.
	Cookie string `yaml:"cookie"`

	// Project distinguishes several Ory projects of one application. It is part of every
	// minted ID, so that a change invalidates all of them.
	Project string `yaml:"project"`

	// EdgeCache lets Ory Network answer whoami from its edge cache. A revocation may then
	// take 150 s to be noticed.
	EdgeCache bool `yaml:"edge_cache"`
}

// PoolConfig limits the connections to the database.
type PoolConfig struct {
	// Max is the number of connections. 0, the default, means 10.
	Max int `yaml:"max"`

	// StatementTimeout is the time after which Postgres cancels a statement. It is sent when
	// a connection begins. PgBouncer refuses that by default, and needs 0s. Each transaction
	// sets the timeout again for itself: to this value, or to 10 seconds if this value is 0s.
	// SQLite has no such timeout.
	StatementTimeout time.Duration `yaml:"statement_timeout"`
}

// ServeConfig is about the two listeners.
type ServeConfig struct {
	Public string `yaml:"public"` // hooks, forward-auth, /me
	Admin  string `yaml:"admin"`  // the operator's side; off loopback it needs AdminKey

	// AdminKey, at least 32 bytes, must be in every request of the operator.
	AdminKey Hidden `yaml:"admin_key"`

	// URL is the address at which Ory reaches the public side, and the issuer of signed
	// assertions.
	URL string `yaml:"url"`

	// TrustedProxies are the addresses or networks whose X-Forwarded-* headers are trusted:
	// for the client's address, by which new credentials share what is left of Ory's rate
	// limit, and for the return_to of a redirect to auth.login_url. Default: none.
	TrustedProxies []string `yaml:"trusted_proxies"`

	// Drain is how long the server continues to answer after SIGTERM, while /readyz is 503,
	// so that proxies find out before connections are refused.
	Drain time.Duration `yaml:"drain"`
}

// HooksConfig is about the hooks, and overrides the keys that are derived from the secret.
type HooksConfig struct {
	Keys  HookKeys  `yaml:"keys"`
	Basic BasicKeys `yaml:"basic"`

	// Invites prints the reserve hook even if no ID can be reserved, because invites need it.
	Invites bool `yaml:"invites"`
}

// BasicKeys are "user:password", for callers that support basic authentication only.
type BasicKeys struct {
	// Hydrate is the login of Oathkeeper's hydrator. Defaults to the user symbolon with a
	// password that is derived from the secret; `symbolon actions print --for oathkeeper`
	// prints it.
	Hydrate Hidden `yaml:"hydrate"`
}

// HookKeys are the keys of the hooks, one or two for each.
type HookKeys struct {
	Reserve []Hidden `yaml:"reserve"`
	Link    []Hidden `yaml:"link"`
	Sync    []Hidden `yaml:"sync"`
}

// UsersConfig describes the application's users: a table, or the URL at which the
// application makes them itself. In Symbolon's own table, Columns defaults to the e-mail
// address, the name and whether the identity is active; in any other table it is empty.
type UsersConfig struct {
	Table         string             `yaml:"table"`
	ID            string             `yaml:"id"`
	Identity      string             `yaml:"identity"`
	NewID         symbolon.NewID     `yaml:"new_id"`
	Columns       map[string]string  `yaml:"columns"`
	OnUserDeleted link.OnUserDeleted `yaml:"on_user_deleted"`

	// Deny maps codes to conditions on the columns of a row. While a row meets a condition,
	// its user gets 403 with the code.
	Deny map[string]string `yaml:"deny"`

	// When says which identities get a user.
	When WhenConfig `yaml:"when"`

	// OnIdentityDeleted is what happens to a row when its identity is deleted at Ory, which
	// is proved first. Default: deactivate if a column is filled from "active", else keep.
	OnIdentityDeleted symbolon.RowPolicy `yaml:"on_identity_deleted"`

	// OnReturn says what somebody gets who comes back with a new identity after the former one
	// was deleted at Ory.
	OnReturn link.OnReturn `yaml:"on_return"`

	// ReleaseColumns are emptied when the identity is deleted, so that unique values are
	// free again.
	ReleaseColumns []string `yaml:"release_columns"`

	// AnonymiseColumns are the columns that the policy anonymise empties besides those that
	// are filled from traits or a verified address. Default: all columns that are filled from
	// the identity.
	AnonymiseColumns []string `yaml:"anonymise_columns"`

	// Placeholder is the text that a unique NOT NULL column gets if its value must go to
	// another row and the row's own new value is not free yet. It contains "{user}", which
	// stands for the user's ID. Empty: the rows keep their values, and a finding says so.
	Placeholder string `yaml:"placeholder"`

	// CreateURL is the URL at which the application makes its users itself. It gets a signed
	// POST with Columns. Table, ID, Identity and NewID are not used then.
	CreateURL string `yaml:"create_url"`

	// CreateSecret signs the POST: one secret of the form whsec_…, or two while it is
	// changed. Defaults to a secret that is derived from Secret.
	CreateSecret []Hidden `yaml:"create_secret"`
}

// WhenConfig says which identities get a user.
type WhenConfig struct {
	// SchemaID lists the identity schemas whose identities get users. Empty: every schema.
	SchemaID []string `yaml:"schema_id"`

	// Verified requires an address that Ory has verified.
	Verified bool `yaml:"verified"`
}

// Rule is the configuration as the library takes it.
func (w WhenConfig) Rule() link.When {
	return link.When{SchemaIDs: w.SchemaID, Verified: w.Verified}
}

// IDSource is the source of the IDs of new users.
func (u UsersConfig) IDSource() symbolon.NewID {
	if u.CreateURL != "" {
		return symbolon.ByApplication
	}
	return u.NewID
}

// DeletionConfig is about identities that are deleted at Ory.
type DeletionConfig struct {
	// ProofGap is the time between the two requests that prove a deletion.
	ProofGap time.Duration `yaml:"proof_gap"`
}

// BackReferenceConfig is about the user's ID in the identity.
type BackReferenceConfig struct {
	Path       string     `yaml:"path"` // metadata_public.KEY
	Write      link.Write `yaml:"write"`
	ExternalID bool       `yaml:"external_id"`
}

// AuthConfig is about requests and their sessions.
type AuthConfig struct {
	// MaxStale is how long a revoked session may still be accepted.
	MaxStale time.Duration `yaml:"max_stale"`

	// OutageGrace is how much longer a cached session is accepted while Ory does not answer.
	OutageGrace time.Duration `yaml:"outage_grace"`

	// LoginURL is the login page that policies with login_redirect send browsers to.
	LoginURL string `yaml:"login_url"`

	// ReturnToHosts are the exact hosts that the return_to of LoginURL may have.
	ReturnToHosts []string `yaml:"return_to_hosts"`

	// Audience is the audience of the signed assertion. If it is empty, no assertion is signed.
	Audience string `yaml:"audience"`

	// Policies are the policies of /auth/p/NAME, besides default, optional and aal2.
	Policies map[string]PolicyConfig `yaml:"policies"`

	// JWT is about Ory's own tokenised sessions.
	JWT JWTConfig `yaml:"jwt"`

	// Headers renames the answer headers of /auth: user_id, identity_id,
	// session_id, aal, email, assertion.
	Headers map[string]string `yaml:"headers"`
}

// PolicyConfig is a policy that a proxy chooses by the path.
type PolicyConfig struct {
	AAL           string        `yaml:"aal"`      // aal2: two factors
	Verified      bool          `yaml:"verified"` // an e-mail address that Ory has verified
	Fresh         time.Duration `yaml:"fresh"`    // the greatest age of the sign-in; 0: any age
	LoginRedirect bool          `yaml:"login_redirect"`
}

// ReconcileConfig is about the reconcile runs of the server.
type ReconcileConfig struct {
	// Every is the pause after a run. 0 switches the runs off.
	Every time.Duration `yaml:"every"`

	// Load is the share of Ory's rate limit that background work may use: hints,
	// back-references, schedules. If Ory reports no rate limit, Load is the share of the
	// time in which a background request may be under way. "10%".
	Load string `yaml:"load"`
}

// OwnTable is the users table that Symbolon's migration makes. Any other table must exist.
const OwnTable = "symbolon_users"

// OwnColumns are the default columns of Symbolon's own table.
func OwnColumns() map[string]string {
	return map[string]string{"email": "traits.email", "name": "traits.name", "active": "active"}
}

// Defaults is the default configuration.
func Defaults() *Config {
	return &Config{
		Ory:          OryConfig{PublicURL: "http://127.0.0.1:4433", Cookie: "ory_kratos_session", Project: "default"},
		Database:     "sqlite://symbolon.db",
		DatabasePool: PoolConfig{StatementTimeout: 5 * time.Second},
		Serve:        ServeConfig{Public: ":4460", Admin: "127.0.0.1:4461", URL: "http://127.0.0.1:4460", Drain: 5 * time.Second},
		Users: UsersConfig{Table: OwnTable, ID: "id", Identity: "ory_identity_id", NewID: symbolon.ByMint,
			OnUserDeleted: link.DenyDeleted, OnReturn: link.ReturnNew},
		Deletion:      DeletionConfig{ProofGap: link.DefaultProofGap},
		BackReference: BackReferenceConfig{Path: "metadata_public.id", Write: link.WriteReserve},
		Auth:          AuthConfig{MaxStale: 10 * time.Second, JWT: JWTConfig{UserClaim: "sub", MaxLife: 15 * time.Minute}},
		Reconcile:     ReconcileConfig{Every: 10 * time.Minute, Load: "10%"},
		Retention:     90 * 24 * time.Hour,
	}
}

// SQLitePath is the file of a SQLite database; ok is false for Postgres.
func (c *Config) SQLitePath() (path string, ok bool) {
	return strings.CutPrefix(c.Database.Reveal(), "sqlite://")
}

// Secrets are all secrets that are accepted: the current one, the next one, and the previous
// ones.
func (c *Config) Secrets() []symbolon.Secret {
	out := []symbolon.Secret{symbolon.Secret(c.Secret.Reveal())}
	if c.NextSecret != "" {
		out = append(out, symbolon.Secret(c.NextSecret.Reveal()))
	}
	for _, s := range c.PreviousSecrets {
		out = append(out, symbolon.Secret(s.Reveal()))
	}
	return out
}
