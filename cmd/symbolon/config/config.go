// Package config is symbolon.yaml: it reads the file, lays the environment over it and checks
// the whole. Every fault is reported at once, and a secret is never shown.
package config

import (
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
)

// Config is symbolon.yaml. Every key is an environment variable as well: its path
// in capitals behind SYMBOLON_, so that ory.admin_url is SYMBOLON_ORY_ADMIN_URL.
// A variable that is set and not empty wins over the file. Lists are separated by
// commas there, maps are JSON objects.
type Config struct {
	Ory OryConfig `yaml:"ory"`

	// Database is sqlite://path (relative to the working directory, or absolute
	// with a third slash) or postgres://user:password@host:5432/name.
	Database     Hidden     `yaml:"database"`
	DatabasePool PoolConfig `yaml:"database_pool"`

	// DatabaseListen is a second address of the same Postgres that leads to it
	// directly, for LISTEN and for migrations, where Database is a pooler in
	// transaction mode. Without it background work is looked for once a second.
	DatabaseListen Hidden `yaml:"database_listen"`

	// Secret is the one secret of the installation, at least 32 bytes. Required.
	Secret Hidden `yaml:"secret"`

	// PreviousSecrets still count, so that Secret can be changed.
	PreviousSecrets []Hidden `yaml:"previous_secrets"`

	Serve         ServeConfig         `yaml:"serve"`
	Hooks         HooksConfig         `yaml:"hooks"`
	Users         UsersConfig         `yaml:"users"`
	Adopt         AdoptConfig         `yaml:"adopt"`
	Deletion      DeletionConfig      `yaml:"deletion"`
	BackReference BackReferenceConfig `yaml:"back_reference"`
	Auth          AuthConfig          `yaml:"auth"`
	Reconcile     ReconcileConfig     `yaml:"reconcile"`
}

// OryConfig says where Ory is.
type OryConfig struct {
	// PublicURL answers whoami.
	PublicURL string `yaml:"public_url"`

	// AdminURL is the admin API. Optional: without it nothing is re-read and no
	// back-reference is patched.
	AdminURL string `yaml:"admin_url"`

	// Token authenticates at the admin API of Ory Network.
	Token Hidden `yaml:"token"`

	// Cookie is the name of Ory's session cookie.
	Cookie string `yaml:"cookie"`

	// Project tells several Ory projects apart that share one application. It is
	// part of every minted ID: changing it makes strangers of them.
	Project string `yaml:"project"`

	// EdgeCache lets Ory Network answer whoami from its edge: 150 s may pass
	// before a revocation is seen.
	EdgeCache bool `yaml:"edge_cache"`
}

// PoolConfig bounds the connections to the database.
type PoolConfig struct {
	// Max is how many connections may be open at once. Default, and 0: 10.
	Max int `yaml:"max"`

	// StatementTimeout is what Postgres ends a statement after. It is sent when a
	// connection begins; a pooler that refuses that, as PgBouncer does until it is
	// told otherwise, needs 0s: none. SQLite has none.
	StatementTimeout time.Duration `yaml:"statement_timeout"`
}

// ServeConfig says where to listen.
type ServeConfig struct {
	Public string `yaml:"public"` // hooks, forward-auth, /me
	Admin  string `yaml:"admin"`  // the operator's side; off loopback it needs AdminKey

	// AdminKey, at least 32 bytes, is asked of every operator's request.
	AdminKey Hidden `yaml:"admin_key"`

	// URL is where Ory reaches the public side, and the issuer of signed assertions.
	URL string `yaml:"url"`

	// TrustedProxies are addresses or networks whose X-Forwarded-* is believed, for
	// the return_to of a redirect to auth.login_url and nothing else. Default: nobody's.
	TrustedProxies []string `yaml:"trusted_proxies"`
}

// HooksConfig overrides what is derived from the secret.
type HooksConfig struct {
	Keys  HookKeys  `yaml:"keys"`
	Basic BasicKeys `yaml:"basic"`
}

// BasicKeys are "user:password", for callers that can show nothing else.
type BasicKeys struct {
	// Hydrate is what Oathkeeper's hydrator shows. Defaults to the user symbolon with
	// a password that is derived from the secret; `symbolon actions print --for
	// oathkeeper` shows it.
	Hydrate Hidden `yaml:"hydrate"`
}

// HookKeys are the keys that Ory shows, one or two for each hook.
type HookKeys struct {
	Reserve []Hidden `yaml:"reserve"`
	Link    []Hidden `yaml:"link"`
	Sync    []Hidden `yaml:"sync"`
}

// UsersConfig describes the application's users: a table, or where the application
// makes them itself. Columns defaults to the e-mail address, the name and whether the
// identity is active, and to nothing in a table of the application's own.
type UsersConfig struct {
	Table         string             `yaml:"table"`
	ID            string             `yaml:"id"`
	Identity      string             `yaml:"identity"`
	NewID         symbolon.NewID     `yaml:"new_id"`
	Columns       map[string]string  `yaml:"columns"`
	OnUserDeleted link.OnUserDeleted `yaml:"on_user_deleted"`

	// OnIdentityDeleted says what becomes of a row when Ory no longer has its
	// identity, which is proved first. Where it is not set: deactivate if a column is
	// filled from "active", else keep.
	OnIdentityDeleted symbolon.RowPolicy `yaml:"on_identity_deleted"`

	// ReleaseColumns are emptied then, so that what must be unique is free again.
	ReleaseColumns []string `yaml:"release_columns"`

	// AnonymiseColumns are what anonymise empties; all that come from the identity
	// where none are named.
	AnonymiseColumns []string `yaml:"anonymise_columns"`

	// CreateURL is where the application makes its users itself, by a signed POST that
	// tells it Columns; Table, ID, Identity and NewID then say nothing.
	CreateURL string `yaml:"create_url"`

	// CreateSecret signs it: one, or two while it is changed, of the form whsec_….
	// Defaults to what is derived from the secret.
	CreateSecret []Hidden `yaml:"create_secret"`
}

// IDSource is how new users get their IDs.
func (u UsersConfig) IDSource() symbolon.NewID {
	if u.CreateURL != "" {
		return symbolon.ByApplication
	}
	return u.NewID
}

// DeletionConfig is about identities that Ory no longer has.
type DeletionConfig struct {
	// ProofGap lies between the two looks that prove one gone.
	ProofGap time.Duration `yaml:"proof_gap"`
}

// BackReferenceConfig says how the user's ID gets into the identity.
type BackReferenceConfig struct {
	Path       string     `yaml:"path"` // metadata_public.KEY
	Write      link.Write `yaml:"write"`
	ExternalID bool       `yaml:"external_id"`
}

// AuthConfig is about requests and their sessions.
type AuthConfig struct {
	// MaxStale is how long a revoked session may still be let in.
	MaxStale time.Duration `yaml:"max_stale"`

	// OutageGrace is how long beyond that a session that was seen is let in while Ory
	// does not answer.
	OutageGrace time.Duration `yaml:"outage_grace"`

	// LoginURL is the login page that policies with login_redirect send browsers to.
	LoginURL string `yaml:"login_url"`

	// ReturnToHosts are the hosts that its return_to may name, exactly.
	ReturnToHosts []string `yaml:"return_to_hosts"`

	// Audience is who reads the signed assertion. Empty: none is signed.
	Audience string `yaml:"audience"`

	// Policies are those of /auth/p/NAME beside default, optional and aal2.
	Policies map[string]PolicyConfig `yaml:"policies"`

	// JWT is about Ory's own tokenised sessions.
	JWT JWTConfig `yaml:"jwt"`

	// Headers renames the answer headers of /auth: user_id, identity_id,
	// session_id, aal, email, assertion.
	Headers map[string]string `yaml:"headers"`
}

// PolicyConfig is what a proxy asks for by a path of its own.
type PolicyConfig struct {
	AAL           string        `yaml:"aal"`      // aal2: two factors
	Verified      bool          `yaml:"verified"` // an e-mail address that Ory has verified
	Fresh         time.Duration `yaml:"fresh"`    // a sign-in at most so long ago; 0: any
	LoginRedirect bool          `yaml:"login_redirect"`
}

// ReconcileConfig is about what is compared and repaired in the background.
type ReconcileConfig struct {
	// Every is the pause after a comparison of everybody; 0 switches them off.
	Every time.Duration `yaml:"every"`

	// Load is the share of Ory's rate limit, or of its time where it has none, that
	// the background gets: hints, back-references, schedules. "10%".
	Load string `yaml:"load"`
}

// OwnTable is the users table that Symbolon's own migration makes. Any other must
// exist.
const OwnTable = "symbolon_users"

// OwnColumns are what Symbolon's own table has to be filled with.
func OwnColumns() map[string]string {
	return map[string]string{"email": "traits.email", "name": "traits.name", "active": "active"}
}

// Defaults is the configuration of a program that was told nothing.
func Defaults() *Config {
	return &Config{
		Ory:          OryConfig{PublicURL: "http://127.0.0.1:4433", Cookie: "ory_kratos_session", Project: "default"},
		Database:     "sqlite://symbolon.db",
		DatabasePool: PoolConfig{StatementTimeout: 5 * time.Second},
		Serve:        ServeConfig{Public: ":4460", Admin: "127.0.0.1:4461", URL: "http://127.0.0.1:4460"},
		Users: UsersConfig{Table: OwnTable, ID: "id", Identity: "ory_identity_id", NewID: symbolon.ByMint,
			OnUserDeleted: link.DenyDeleted},
		Deletion:      DeletionConfig{ProofGap: link.DefaultProofGap},
		BackReference: BackReferenceConfig{Path: "metadata_public.id", Write: link.WriteCreate},
		Auth:          AuthConfig{MaxStale: 10 * time.Second, JWT: JWTConfig{UserClaim: "sub", MaxLife: 15 * time.Minute}},
		Reconcile:     ReconcileConfig{Every: 10 * time.Minute, Load: "10%"},
	}
}

// SQLitePath is the file of a SQLite database; ok: it is one.
func (c *Config) SQLitePath() (path string, ok bool) {
	return strings.CutPrefix(c.Database.Reveal(), "sqlite://")
}

// Secrets are the current one and the previous ones.
func (c *Config) Secrets() []symbolon.Secret {
	out := []symbolon.Secret{symbolon.Secret(c.Secret.Reveal())}
	for _, s := range c.PreviousSecrets {
		out = append(out, symbolon.Secret(s.Reveal()))
	}
	return out
}
