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

// KratosConfig configures [StartKratos] and [LaunchKratos]. The zero value works: SQLite,
// free ports, registration in one step with e-mail and password, TOTP as the second
// factor, a session after a registration, no mail and no hooks.
type KratosConfig struct {
	// DSN is the DSN of Kratos' own database. Kratos' migrations run before it starts. It
	// is a Postgres DSN, as [Postgres.NewDatabase] returns, or a SQLite DSN of Kratos. A
	// SQLite DSN needs lock=false and _txlock=immediate. Without them concurrent requests
	// fail with "database is locked". Default: a SQLite file in Dir.
	DSN string

	// Overlay is YAML that is merged into the base configuration. Mappings are merged key
	// by key. Every other value, also null, replaces the base's value. The hooks of a
	// method are a list, so an overlay with hooks needs `hook: session` if a registration
	// is to create a session. The output of `symbolon actions print` can be used unchanged.
	Overlay []byte

	// UIURL is the address of the self-service pages, without a trailing slash. /login,
	// /registration, /settings, /verification, /recovery and /error are below it. Kratos
	// redirects browsers to it, and return_to may name any page below it. Default:
	// http://127.0.0.1:1, where no server listens. That is enough for tests without a
	// browser.
	UIURL string

	// RealHasher hashes passwords with bcrypt at cost 12, as a production Kratos does.
	// Each registration and login then takes about 250 ms of one core. Default: a weak
	// and fast argon2id.
	RealHasher bool

	// PublicPort and AdminPort are the ports on 127.0.0.1. Default: free ports. A
	// restarted Kratos keeps its ports.
	PublicPort, AdminPort int

	// Env is added to Kratos' environment, as NAME=value. Kratos inherits only PATH, HOME
	// and TMPDIR, because an environment variable can set every key of its configuration.
	// Ory also reads tracing options from the environment, for example
	// OTEL_BSP_SCHEDULE_DELAY.
	Env []string

	// Dir contains the configuration, the log and the SQLite file. It is kept. A Kratos
	// with the same Dir has the same identities and sessions. Default: a temporary folder
	// that is removed at the end.
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

// writeConfig writes all files that `kratos serve` reads. The schema's title contains a
// nonce. By this nonce waitReady recognises this Kratos, because another Kratos may have
// taken the port first.
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

// dsn returns a SQLite DSN for many concurrent requests. Readers never wait for writers
// (WAL). A transaction takes the write lock at its begin (_txlock), where the busy
// timeout applies. lock=false disables two mutexes of pop, Kratos' database library,
// because they deadlock with SQLite's write lock: a transaction holds the first mutex and
// the write lock and waits for the second mutex. A single statement holds the second
// mutex and waits for the write lock. Both then wait until the busy timeout ends.
func (k *Kratos) dsn() string {
	switch {
	case k.config.DSN != "":
		return k.config.DSN
	case k.config.Dir != "":
		return k.sqliteDSN() + "&_synchronous=NORMAL"
	default: // the data need not survive a power cut
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

// keptSecret returns a random secret that stays the same for one Dir. Kratos encrypts its
// cookies with it.
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

// overlayYAML merges one YAML mapping into another.
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
