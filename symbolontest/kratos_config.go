package symbolontest

import (
	"bytes"
	cryptorand "crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v3"
)

// KratosConfig says how [StartKratos] and [LaunchKratos] run Ory Kratos. The
// zero value is a complete one: SQLite, free ports, one-step registration with
// e-mail and password, TOTP as a second factor, a session after signing up,
// no mail ever sent and no hook configured.
type KratosConfig struct {
	// DSN is Kratos' own database, migrated before it starts: a Postgres DSN
	// such as [Postgres.NewDatabase] returns, or one of Kratos' SQLite DSNs,
	// which needs lock=false and _txlock=immediate or concurrent requests run
	// into "database is locked". Default: a SQLite file in Dir.
	DSN string

	// Overlay is YAML that is laid over the base configuration: mappings are
	// merged key by key, everything else replaces what was there, null
	// included. The hooks of a method are a list, so an overlay that sets
	// them and wants a session after registration has `hook: session` in it.
	// What `symbolon actions print --for kratos.yml` writes fits as it is.
	Overlay []byte

	// UIURL is where the self-service pages are, without a final slash:
	// /login, /registration, /settings, /verification, /recovery and /error
	// below it. Browsers are sent there, and return_to may name anything
	// below it. Default: http://127.0.0.1:1, where nobody listens, which is
	// enough for everything but a browser.
	UIURL string

	// RealHasher hashes passwords as a production Kratos does, bcrypt at cost
	// 12: about 250 ms of one core for every registration and login. Default:
	// an argon2id so weak that it costs nothing.
	RealHasher bool

	// PublicPort and AdminPort are the ports on 127.0.0.1. Default: free ones,
	// which Kratos keeps when it is started again.
	PublicPort, AdminPort int

	// Env is added to Kratos' environment, as NAME=value. It inherits nothing
	// but PATH, HOME and TMPDIR, because every key of its configuration can
	// be set by an environment variable. Ory reads tracing options here, for
	// example OTEL_BSP_SCHEDULE_DELAY.
	Env []string

	// Dir holds the configuration, the log and the SQLite file, and is kept:
	// a Kratos started with the same Dir has the same identities and
	// sessions. Default: a temporary folder that is removed at the end.
	Dir string
}

//go:embed kratosmod/kratos.yml
var kratosBaseConfig string

//go:embed kratosmod/identity.schema.json
var kratosSchema string

// The names of the files in KratosConfig.Dir.
const (
	kratosConfigFile = "kratos.yml"
	kratosSchemaFile = "identity.schema.json"
	kratosSecretFile = "secret"
	kratosLogFile    = "kratos.log"
	kratosDataFile   = "kratos.sqlite"
)

// writeConfig writes everything that `kratos serve` reads. The schema's title
// carries a nonce, by which waitReady knows our Kratos from another one that
// took the port first.
func (k *Kratos) writeConfig() error {
	schema := strings.Replace(kratosSchema, `"title": "Person"`, `"title": "Person `+k.nonce+`"`, 1)
	if err := os.WriteFile(filepath.Join(k.dir, kratosSchemaFile), []byte(schema), 0o600); err != nil {
		return fmt.Errorf("write the identity schema: %w", err)
	}
	text, err := k.renderConfig()
	if err != nil {
		return fmt.Errorf("write kratos.yml: %w", err)
	}
	if err := os.WriteFile(k.ConfigFile, text, 0o600); err != nil {
		return fmt.Errorf("write kratos.yml: %w", err)
	}
	return nil
}

func (k *Kratos) renderConfig() ([]byte, error) {
	ui, err := uiURL(k.config.UIURL)
	if err != nil {
		return nil, err
	}
	secret, err := keptSecret(filepath.Join(k.dir, kratosSecretFile))
	if err != nil {
		return nil, err
	}
	base := template.Must(template.New("kratos.yml").Parse(kratosBaseConfig))
	var text bytes.Buffer
	err = base.Execute(&text, map[string]any{
		"DSN":       k.dsn(),
		"PublicURL": k.PublicURL, "PublicPort": k.publicPort,
		"AdminURL": k.AdminURL, "AdminPort": k.adminPort,
		"UIURL":  ui,
		"Secret": secret, "CipherSecret": secret[:32],
		"RealHasher": k.config.RealHasher,
		"SchemaURL":  "file://" + filepath.ToSlash(filepath.Join(k.dir, kratosSchemaFile)),
	})
	if err != nil {
		return nil, err
	}
	return overlayYAML(text.Bytes(), k.config.Overlay)
}

// dsn makes SQLite stand many people at once. Readers never wait for writers
// (WAL), and a transaction takes the write lock when it begins, where the busy
// timeout counts, not half-way (_txlock). lock=false turns off two mutexes of
// pop, Kratos' database library: a transaction holds the first and SQLite's
// write lock and wants the second, a single statement holds the second and
// wants SQLite's write lock, and both wait for the busy timeout to end it.
func (k *Kratos) dsn() string {
	switch {
	case k.config.DSN != "":
		return k.config.DSN
	case k.config.Dir != "":
		return k.sqliteDSN() + "&_synchronous=NORMAL"
	default: // nobody needs the data after a power cut
		return k.sqliteDSN() + "&_synchronous=OFF"
	}
}

func (k *Kratos) sqliteDSN() string {
	return sqliteDSN(filepath.Join(k.dir, kratosDataFile)) + "&_journal_mode=WAL"
}

func sqliteDSN(path string) string {
	return "sqlite://" + filepath.ToSlash(path) + "?_fk=true&mode=rwc&_busy_timeout=30000&_txlock=immediate&lock=false"
}

func uiURL(s string) (string, error) {
	if s == "" {
		return "http://127.0.0.1:1", nil
	}
	u, err := url.Parse(s)
	if err != nil {
		return "", fmt.Errorf("UIURL: %w", err)
	}
	if u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("UIURL %q is not the base of web pages", s)
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// keptSecret is random, and the same again in the same Dir: it encrypts
// Kratos' cookies.
func keptSecret(path string) (string, error) {
	switch text, err := os.ReadFile(path); {
	case err == nil && len(text) >= 32:
		return string(text), nil
	case err == nil || errors.Is(err, os.ErrNotExist):
		secret := cryptorand.Text() + cryptorand.Text()
		return secret, os.WriteFile(path, []byte(secret), 0o600)
	default:
		return "", err
	}
}

// overlayYAML lays one YAML mapping over another.
func overlayYAML(base, over []byte) ([]byte, error) {
	below, above := map[string]any{}, map[string]any{}
	if err := yaml.Unmarshal(base, &below); err != nil {
		return nil, fmt.Errorf("base: %w", err)
	}
	if err := yaml.Unmarshal(over, &above); err != nil {
		return nil, fmt.Errorf("overlay: %w", err)
	}
	merge(below, above)
	return yaml.Marshal(below)
}

func merge(below, above map[string]any) {
	for key, value := range above {
		sub, isMap := value.(map[string]any)
		if old, wasMap := below[key].(map[string]any); isMap && wasMap {
			merge(old, sub)
			continue
		}
		below[key] = value
	}
}
