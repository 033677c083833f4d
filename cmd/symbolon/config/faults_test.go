package config

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
)

// jwtBut is a section auth.jwt that is valid except for one key.
func jwtBut(wrong string) string {
	out := "auth:\n  jwt:\n"
	for _, line := range []string{"jwks: https://keys.example/jwks.json", "issuer: https://ory.example/", "audience: notes"} {
		if key, _, _ := strings.Cut(line, ":"); !strings.HasPrefix(wrong, key+":") {
			out += "    " + line + "\n"
		}
	}
	return out + "    " + wrong + "\n"
}

// TestConfigFaults is row C of the bad-input catalogue: each file prevents the start, and
// the error names the key and has no secret.
func TestConfigFaults(t *testing.T) {
	const good = "secret: ${SYMBOLON_SECRET}\n"
	for _, test := range []struct {
		name, text string
		path, says string // of one fault
	}{
		// The file as a whole.
		{"empty", " ", "", "empty"},
		{"only comments", "# nothing\n", "", "empty"},
		{"tab", "ory:\n\tpublic_url: http://h\n", "", "tab"},
		{"tab after spaces", "ory:\n  \tpublic_url: http://h\n", "", "tab"},
		{"two documents", good + "---\n" + good, "", "second document"},
		{"a list", "- a\n", "", "mapping"},
		{"a word", cmdtest.Secret + "\n", "", "mapping"},
		{"not YAML", "a: b: c\n", "", "cannot be read"},
		{"not YAML, with a secret", `secret: "` + cmdtest.Secret + "\n", "", "cannot be read"},
		{"a secret read as an alias", "secret: *" + cmdtest.Secret + "\n", "", "cannot be read"},
		{"NUL", "secret: a\x00b\n", "", "cannot be read"},
		{"UTF-16", "\xff\xfes\x00e\x00", "", ""},
		{"not UTF-8", "ory: {project: \"\xff\xfe\"}\n", "", "cannot be read"},
		{"anchor", "ory: &a {project: x}\n", "ory", "anchors"},
		{"alias", "users: {columns: {a: &x traits.a, b: *x}}\n", "users.columns.a", "text"},
		{"laughs", laughs(), "a", "no such key"},
		{"deep", "ory: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "\n", "ory", "mapping"},
		{"merge key", "<<: {secret: x}\n", "…", "plain word"},
		{"tagged", "ory: {project: !!binary eA==}\n", "ory.project", "tags"},
		{"tagged section", "ory: !evil {project: x}\n", "ory", "tags"},

		// Keys and types.
		{"unknown section", "orry: {}\n", "orry", "did you mean ory"},
		{"unknown key", "ory: {public_uri: x}\n", "ory.public_uri", "did you mean public_url"},
		{"unknown key, far off", "ory: {certificates: x}\n", "ory.certificates", "there is public_url, admin_url"},
		{"a key of a later version", "feeds: {every: 10m}\n", "feeds", "no such key"},
		{"a pause that is too short", "reconcile: {every: 10ms}\n", "reconcile.every", "between 1s and 168h"},
		{"a retention of an hour", "retention: 1h\n", "retention", "at least 24h"},
		{"a negative retention", "retention: -24h\n", "retention", "at least 24h"},
		{"a secret as a key", cmdtest.Secret + ": x\n", "…", "no such key"},
		{"duplicate key", "ory: {project: a, project: b}\n", "ory.project", "twice"},
		{"duplicate section", "ory: {}\nory: {}\n", "ory", "twice"},
		{"duplicate map key", "users: {columns: {a: traits.a, a: traits.b}}\n", "users.columns.a", "twice"},
		{"key in capitals", "ory: {Project: a}\n", "ory.Project", "did you mean project"},
		{"section is text", "ory: http://127.0.0.1:4433\n", "ory", "mapping"},
		{"section is a list", "ory: [a]\n", "ory", "mapping"},
		{"text is a number", "ory: {project: 12}\n", "ory.project", "quotes"},
		{"text is a boolean", "ory: {project: yes, cookie: true}\n", "ory.cookie", "quotes"},
		{"text is a list", "secret: [a]\n", "secret", "text"},
		{"text is a mapping", "secret: {a: b}\n", "secret", "text"},
		{"text is null", "ory: {project: }\n", "ory.project", "no value"},
		{"text is null", "secret: null\n", "secret", "no value"},
		{"text is ~", "secret: ~\n", "secret", "no value"},
		{"boolean is text", "ory: {edge_cache: \"true\"}\n", "ory.edge_cache", "true or false"},
		{"boolean is yes", "ory: {edge_cache: yes}\n", "ory.edge_cache", "true or false"},
		{"boolean is a number", "ory: {edge_cache: 1}\n", "ory.edge_cache", "true or false"},
		{"number is text", "database_pool: {max: \"5\"}\n", "database_pool.max", "whole number"},
		{"number is a fraction", "database_pool: {max: 1.5}\n", "database_pool.max", "whole number"},
		{"number is hexadecimal", "database_pool: {max: 0x10}\n", "database_pool.max", "whole number"},
		{"number is huge", "database_pool: {max: 99999999999999999999}\n", "database_pool.max", "whole number"},
		{"duration is a number", "auth: {max_stale: 10}\n", "auth.max_stale", "duration"},
		{"duration is a word", "auth: {max_stale: soon}\n", "auth.max_stale", "duration"},
		{"list is text", "previous_secrets: abc\n", "previous_secrets", "list"},
		{"list of lists", "previous_secrets: [[a]]\n", "previous_secrets[0]", "text"},
		{"list with null", "previous_secrets: [null]\n", "previous_secrets[0]", "text"},
		{"map is text", "users: {columns: abc}\n", "users.columns", "mapping"},
		{"map of lists", "users: {columns: {a: [b]}}\n", "users.columns.a", "text"},
		{"map with null", "users: {columns: {a: }}\n", "users.columns.a", "text"},

		// ${ENV}.
		{"variable missing", "secret: ${NOT_SET}\n", "secret", "NOT_SET is not set"},
		{"variable in a list", "hooks: {keys: {link: [\"${NOT_SET}\"]}}\n", "hooks.keys.link[0]", "NOT_SET is not set"},
		{"variable in a map", "users: {columns: {a: \"${NOT_SET}\"}}\n", "users.columns.a", "NOT_SET is not set"},
		{"not closed", "secret: ${SYMBOLON_SECRET\n", "secret", "not closed"},
		{"no name", "secret: ${}\n", "secret", "name of an environment variable"},
		{"with a default", "secret: ${A:-b}\n", "secret", "name of an environment variable"},

		// The secret and the keys.
		{"no secret", "ory: {project: a}\n", "secret", "missing"},
		{"short secret", "secret: abc\n", "secret", "at least 32 bytes"},
		{"sample secret", "secret: PLEASE-CHANGE-ME-I-AM-VERY-INSECURE\n", "secret", "sample"},
		{"repeated secret", "secret: " + strings.Repeat("ab", 20) + "\n", "secret", "repeated"},
		{"short previous secret", good + "previous_secrets: [abc]\n", "previous_secrets[0]", "at least 32 bytes"},
		{"short next secret", good + "next_secret: abc\n", "next_secret", "at least 32 bytes"},
		{"next secret is the secret", good + "next_secret: " + cmdtest.Secret + "\n", "next_secret", "the same as secret"},
		{"secret twice", good + "next_secret: " + cmdtest.Key + "\nprevious_secrets: [" + cmdtest.Key + "]\n", "previous_secrets[0]", "the same as next_secret"},
		{"short hook key", good + "hooks: {keys: {link: [abc]}}\n", "hooks.keys.link[0]", "at least 32 bytes"},
		{"hook key with a space", good + "hooks: {keys: {link: [\"" + cmdtest.Key + " x\"]}}\n", "hooks.keys.link[0]", "visible ASCII"},
		{"hook key with a newline", good + "hooks: {keys: {link: [\"" + cmdtest.Key + "\\n\"]}}\n", "hooks.keys.link[0]", "visible ASCII"},
		{"three hook keys", good + "hooks: {keys: {link: [" + cmdtest.Key + "1, " + cmdtest.Key + "2, " + cmdtest.Key + "3]}}\n", "hooks.keys.link", "at most two keys"},
		{"one key for two hooks", good + "hooks: {keys: {link: [" + cmdtest.Key + "], sync: [" + cmdtest.Key + "]}}\n", "hooks.keys.sync[0]", "same as hooks.keys.link[0]"},
		{"the secret as a key", good + "hooks: {keys: {link: [\"${SYMBOLON_SECRET}\"]}}\n", "hooks.keys.link[0]", "same as secret"},
		{"short admin key", good + "serve: {admin_key: abc}\n", "serve.admin_key", "at least 32 bytes"},
		{"the secret as the admin key", good + "serve: {admin_key: \"${SYMBOLON_SECRET}\"}\n", "serve.admin_key", "must not be the secret"},
		{"token without an admin URL", good + "ory: {token: " + cmdtest.Key + "}\n", "ory.token", "no effect without"},
		{"token with a space", good + "ory: {admin_url: http://h, token: \"" + cmdtest.Key + " x\"}\n", "ory.token", "visible ASCII"},

		// Ory's addresses.
		{"plain http to a public address", good + "ory: {public_url: http://93.184.216.34:4433}\n", "ory.public_url", "use https"},
		{"plain http to a public name", good + "ory: {admin_url: http://ory.example.com}\n", "ory.admin_url", "use https"},
		{"plain http to IPv6", good + "ory: {public_url: \"http://[2606:2800:220:1::1]\"}\n", "ory.public_url", "use https"},
		{"plain http to a number", good + "ory: {public_url: http://2130706433}\n", "ory.public_url", "number"},
		{"user and password", good + "ory: {public_url: \"https://u:" + cmdtest.Key + "@h\"}\n", "ory.public_url", "credentials"},
		{"file:", good + "ory: {public_url: file:///etc/passwd}\n", "ory.public_url", "http"},
		{"no scheme", good + "ory: {public_url: 127.0.0.1:4433}\n", "ory.public_url", ""},
		{"no host", good + "ory: {public_url: \"http://\"}\n", "ory.public_url", "no host"},
		{"a query", good + "ory: {public_url: \"http://h?a=b\"}\n", "ory.public_url", "query"},
		{"port 99999", good + "ory: {public_url: \"http://h:99999\"}\n", "ory.public_url", "port"},
		{"dots in the path", good + "ory: {public_url: \"http://h/a/../b\"}\n", "ory.public_url", "plain"},
		{"two slashes", good + "ory: {public_url: \"http://h//\"}\n", "ory.public_url", "plain"},
		{"empty", good + "ory: {public_url: \"\"}\n", "ory.public_url", "not set"},
		{"cookie", good + "ory: {cookie: \"a b\"}\n", "ory.cookie", "name of a cookie"},
		{"project", good + "ory: {project: \"a b\"}\n", "ory.project", "word"},
		{"no project", good + "ory: {project: \"\"}\n", "ory.project", "word"},

		// Symbolon's own addresses.
		{"address without a port", good + "serve: {public: localhost}\n", "serve.public", "host:port"},
		{"port 99999", good + "serve: {public: \":99999\"}\n", "serve.public", "host:port"},
		{"port by name", good + "serve: {public: \":http\"}\n", "serve.public", "host:port"},
		{"URL as address", good + "serve: {public: \"http://h:1\"}\n", "serve.public", "host:port"},
		{"admin on all addresses", good + "serve: {admin: \":4461\"}\n", "serve.admin", "needs serve.admin_key"},
		{"admin on a private address", good + "serve: {admin: \"10.0.0.1:4461\"}\n", "serve.admin", "needs serve.admin_key"},
		{"admin by a name", good + "serve: {admin: \"localhost.example:4461\"}\n", "serve.admin", "needs serve.admin_key"},
		{"a long drain", good + "serve: {drain: 8s}\n", "serve.drain", "at most 7s"},
		{"one address for both", good + "serve: {public: \"127.0.0.1:4461\"}\n", "serve.admin", "needs another"},
		{"one port for both", good + "serve: {public: \":4461\"}\n", "serve.admin", "needs another"},
		{"serve.url with a user", good + "serve: {url: \"http://u:" + cmdtest.Key + "@h\"}\n", "serve.url", "credentials"},
		{"serve.url is a path", good + "serve: {url: /symbolon}\n", "serve.url", "http://"},
		{"serve.url in plain http", good + "serve: {url: \"http://symbolon.example.com\"}\n", "serve.url", "use https"},
		{"serve.url is a script", good + "serve: {url: \"javascript:alert(1)\"}\n", "serve.url", "http://"},

		// The database.
		{"database of another kind", good + "database: mysql://u:" + cmdtest.Key + "@h/db\n", "database", "sqlite://path or postgres://"},
		{"a path alone", good + "database: symbolon.db\n", "database", "sqlite://path or postgres://"},
		{"SQLite in memory", good + "database: \"sqlite://:memory:\"\n", "database", "plain path"},
		{"SQLite with options", good + "database: \"sqlite://a.db?_pragma=synchronous(0)\"\n", "database", "plain path"},
		{"SQLite nowhere", good + "database: \"sqlite://\"\n", "database", "missing"},
		{"Postgres with a bad port", good + "database: \"postgres://u:" + cmdtest.Key + "@h:port/db\"\n", "database", "must be a Postgres address"},
		{"Postgres with a bad escape", good + "database: \"postgres://u:" + cmdtest.Key + "%zz@h/db\"\n", "database", "must be a Postgres address"},
		{"pool of -1", good + "database_pool: {max: -1}\n", "database_pool.max", "between"},
		{"tiny timeout", good + "database_pool: {statement_timeout: 1ms}\n", "database_pool.statement_timeout", "between"},
		{"negative timeout", good + "database_pool: {statement_timeout: -1s}\n", "database_pool.statement_timeout", "between"},

		// The users.
		{"injection in the table", good + "users: {table: \"users; drop table users\"}\n", "users.table", "name or schema.name"},
		{"three parts", good + "users: {table: a.b.c}\n", "users.table", "name or schema.name"},
		{"quotes", good + "users: {table: '\"users\"'}\n", "users.table", "name or schema.name"},
		{"no table", good + "users: {table: \"\"}\n", "users.table", "name or schema.name"},
		{"64 letters", good + "users: {table: " + strings.Repeat("a", 64) + "}\n", "users.table", "name or schema.name"},
		{"id", good + "users: {id: \"a;b\"}\n", "users.id", "letters"},
		{"dotted id", good + "users: {id: a.b}\n", "users.id", "letters"},
		{"identity", good + "users: {identity: 1a}\n", "users.identity", "letters"},
		{"id and identity in one", good + "users: {id: a, identity: a}\n", "users.identity", "only if users.new_id is identity"},
		{"new_id", good + "users: {new_id: random}\n", "users.new_id", "one of uuidv7, database, identity"},
		{"the beginning of a template", good + "users: {new_id: usr_}\n", "users.new_id", "or a template with one of {ulid}, {uuidv4}, {uuidv7} and {nanoid}, such as usr_{ulid}"},
		{"on_user_deleted", good + "users: {on_user_deleted: erase}\n", "users.on_user_deleted", "one of deny, recreate"},
		{"a template without a word", good + "users: {new_id: \"usr_{ulid\"}\n", "users.new_id", "a template is letters"},
		{"a template with an unknown word", good + "users: {new_id: \"usr_{cuid}\"}\n", "users.new_id", "none of {ulid}"},
		{"a list of a list", good + "users: {columns: {a: [[traits.a]]}}\n", "users.columns.a", "it must be text"},
		{"a list without paths", good + "users: {columns: {a: [\"'x'\"]}}\n", "users.columns.a", "a list of paths"},
		{"the application's clock", good + "users: {create_url: \"https://app.example.net/users\", columns: {a: now}}\n", "users.columns.a", "its own clock"},
		{"column's name", good + "users: {columns: {\"a;b\": traits.a}}\n", "users.columns.…", "column's name"},
		{"the identity column", good + "users: {columns: {ory_identity_id: traits.a}}\n", "users.columns.ory_identity_id", "writes this column itself"},
		{"the key column", good + "users: {columns: {id: traits.a}}\n", "users.columns.id", "writes this column itself"},
		{"literal without its quotes", good + "users: {columns: {plan: 'free'}}\n", "users.columns.plan", "it must be a path"},
		{"path into the secrets", good + "users: {columns: {a: credentials.password}}\n", "users.columns.a", "it must be a path"},
		{"metadata_admin", good + "users: {columns: {a: metadata_admin.x}}\n", "users.columns.a", "it must be a path"},

		// Which users are denied, and which identities get one.
		{"deny without a condition", good + "users: {deny: {gone: \"\"}}\n", "users.deny.gone", "it must be text"},
		{"deny with SQL", good + "users: {deny: {gone: \"a; drop table users\"}}\n", "users.deny.gone", "at character 2"},
		{"deny with a function", good + "users: {deny: {gone: \"until > now()\"}}\n", "users.deny.gone", "no meaning"},
		{"deny with a code of Symbolon's", good + "users: {deny: {link_on_hold: suspended}}\n", "users.deny.link_on_hold", "another meaning"},
		{"deny with a code in capitals", good + "users: {deny: {Gone: suspended}}\n", "users.deny.Gone", "lower-case"},
		{"deny with create_url", good + "users: {create_url: \"http://app/users\", deny: {gone: a}}\n", "users.deny", "needs a users table"},
		{"deny is a list", good + "users: {deny: [suspended]}\n", "users.deny", "mapping"},
		{"when with a schema twice", good + "users: {when: {schema_id: [a, a]}}\n", "users.when.schema_id[1]", "twice"},
		{"when with an empty schema", good + "users: {when: {schema_id: [\"\"]}}\n", "users.when.schema_id[0]", "ID of an identity schema"},
		{"when with an unknown key", good + "users: {when: {schema: [a]}}\n", "users.when.schema", "schema_id"},
		{"verified is text", good + "users: {when: {verified: \"yes\"}}\n", "users.when.verified", "true or false"},

		// The application that makes its users itself.
		{"create_url and a table", good + "users: {create_url: \"http://app/users\", table: people}\n", "users.table", "leave it out with users.create_url"},
		{"create_url and an id", good + "users: {create_url: \"http://app/users\", id: id}\n", "users.id", "leave it out with users.create_url"},
		{"create_url and an identity", good + "users: {create_url: \"http://app/users\", identity: ory}\n", "users.identity", "leave it out with users.create_url"},
		{"create_url and new_id", good + "users: {create_url: \"http://app/users\", new_id: uuidv7}\n", "users.new_id", "leave it out with users.create_url"},
		{"create_url and deactivate", good + "users: {create_url: \"http://app/users\", on_identity_deleted: deactivate}\n", "users.on_identity_deleted", "only be keep"},
		{"create_url and columns to release", good + "users: {create_url: \"http://app/users\", release_columns: [a]}\n", "users.release_columns", "leave it out"},
		{"create_url and columns to anonymise", good + "users: {create_url: \"http://app/users\", anonymise_columns: [a]}\n", "users.anonymise_columns", "leave it out"},
		{"create_url and adopting by e-mail", good + "users: {create_url: \"http://app/users\"}\nadopt: {verified_email: true, verified_column: v}\nory: {admin_url: \"http://127.0.0.1:4434\"}\n", "adopt.verified_email", "leave it out with users.create_url"},
		{"create_url to a metadata service", good + "users: {create_url: \"http://169.254.169.254/users\"}\n", "users.create_url", "metadata"},
		{"create_url in plain http", good + "users: {create_url: \"http://93.184.216.34/users\"}\n", "users.create_url", "use https"},
		{"create_url with a password", good + "users: {create_url: \"https://a:b@app/users\"}\n", "users.create_url", "credentials"},
		{"create_url that is a path", good + "users: {create_url: /users}\n", "users.create_url", "http://"},
		{"create_url and a column without a name", good + "users: {create_url: \"http://app/users\", columns: {\"a\\nb\": active}}\n", "users.columns.…", "128 visible"},
		{"create_url and no projection", good + "users: {create_url: \"http://app/users\", columns: {a: credentials.x}}\n", "users.columns.a", "it must be a path"},
		{"create_secret of another form", good + "users: {create_url: \"http://app/users\", create_secret: [abc]}\n", "users.create_secret[0]", "whsec_"},
		{"create_secret of the documentation", good + "users: {create_url: \"http://app/users\", create_secret: [whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw]}\n", "users.create_secret[0]", "can be guessed"},
		{"create_secret without an application", good + "users: {create_secret: [whsec_abc]}\n", "users.create_secret", "no effect"},

		// What happens to a row when a link ends, and reconcile.
		{"on_identity_deleted", good + "users: {on_identity_deleted: erase}\n", "users.on_identity_deleted", "one of keep, deactivate, anonymise, delete"},
		{"on_identity_deleted in capitals", good + "users: {on_identity_deleted: Delete}\n", "users.on_identity_deleted", "one of keep"},
		{"on_identity_deleted is a boolean", good + "users: {on_identity_deleted: true}\n", "users.on_identity_deleted", "quotes"},
		{"on_identity_deleted is null", good + "users: {on_identity_deleted: }\n", "users.on_identity_deleted", "no value"},
		{"deactivate without a column for it", good + "users: {table: people, on_identity_deleted: deactivate, columns: {email: traits.email}}\n", "users.on_identity_deleted", "needs a column"},
		{"release_columns is text", good + "users: {release_columns: email}\n", "users.release_columns", "list"},
		{"release_columns is a mapping", good + "users: {release_columns: {email: true}}\n", "users.release_columns", "list"},
		{"release_columns of SQL", good + "users: {release_columns: [\"email; drop table users\"]}\n", "users.release_columns[0]", "the column's name"},
		{"release_columns with an empty name", good + "users: {release_columns: [email, \"\"]}\n", "users.release_columns[1]", "the column's name"},
		{"release_columns of 64 letters", good + "users: {release_columns: [" + strings.Repeat("a", 64) + "]}\n", "users.release_columns[0]", "the column's name"},
		{"releasing the identity", good + "users: {release_columns: [ory_identity_id]}\n", "users.release_columns[0]", "writes this column itself"},
		{"releasing the key", good + "users: {release_columns: [email, id]}\n", "users.release_columns[1]", "writes this column itself"},
		{"placeholder that is the same for everybody", good + "users: {placeholder: moving}\n", "users.placeholder", "{user}"},
		{"placeholder of two lines", good + "users: {placeholder: \"a\\n{user}\"}\n", "users.placeholder", "visible"},
		{"create_url and a placeholder", good + "users: {create_url: \"http://app/users\", placeholder: \"{user}\"}\n", "users.placeholder", "leave it out"},
		{"anonymise_columns is a number", good + "users: {anonymise_columns: 7}\n", "users.anonymise_columns", "list"},
		{"anonymise_columns of a path", good + "users: {anonymise_columns: [traits.email]}\n", "users.anonymise_columns[0]", "the column's name"},
		{"anonymise_columns with NUL", good + "users: {anonymise_columns: [\"a\\0\"]}\n", "users.anonymise_columns[0]", "the column's name"},
		{"anonymising the identity", good + "users: {anonymise_columns: [ory_identity_id]}\n", "users.anonymise_columns[0]", "writes this column itself"},
		{"deletion is text", good + "deletion: 30s\n", "deletion", "mapping"},
		{"unknown key of deletion", good + "deletion: {proof: 30s}\n", "deletion.proof", "proof_gap"},
		{"no proof", good + "deletion: {proof_gap: 0s}\n", "deletion.proof_gap", "between 1s and 1h"},
		{"a short proof", good + "deletion: {proof_gap: 999ms}\n", "deletion.proof_gap", "between 1s and 1h"},
		{"a negative proof_gap", good + "deletion: {proof_gap: -30s}\n", "deletion.proof_gap", "between 1s and 1h"},
		{"a long proof", good + "deletion: {proof_gap: 61m}\n", "deletion.proof_gap", "between 1s and 1h"},
		{"a proof without a unit", good + "deletion: {proof_gap: 30}\n", "deletion.proof_gap", "duration"},
		{"reconcile is a list", good + "reconcile: [10m]\n", "reconcile", "mapping"},
		{"unknown key of reconcile", good + "reconcile: {evry: 1m}\n", "reconcile.evry", "did you mean every"},
		{"a negative pause", good + "reconcile: {every: -10m}\n", "reconcile.every", "between 1s and 168h"},
		{"a pause of a month", good + "reconcile: {every: 720h}\n", "reconcile.every", "between 1s and 168h"},
		{"a pause of days", good + "reconcile: {every: 1d}\n", "reconcile.every", "duration"},
		{"load is a number", good + "reconcile: {load: 10}\n", "reconcile.load", "quotes"},
		{"negative load", good + "reconcile: {load: -10%}\n", "reconcile.load", "between 1% and 100%"},
		{"load without end", good + "reconcile: {load: Inf%}\n", "reconcile.load", "between 1% and 100%"},
		{"load of two signs", good + "reconcile: {load: 10%%}\n", "reconcile.load", "between 1% and 100%"},
		{"adopt is a boolean", good + "adopt: true\n", "adopt", "mapping"},
		{"verified_email is text", good + "adopt: {verified_email: \"yes\"}\n", "adopt.verified_email", "true or false"},
		{"adopting by e-mail without a verified column", good + "ory: {admin_url: \"http://127.0.0.1:4434\"}\nadopt: {verified_email: true}\n", "adopt.verified_column", "needs the column"},
		{"adopting by e-mail without an admin URL", good + "adopt: {verified_email: true, verified_column: v}\n", "adopt.verified_email", "needs ory.admin_url"},
		{"adopting by e-mail without a column for it", good + "ory: {admin_url: \"http://127.0.0.1:4434\"}\nadopt: {verified_email: true, verified_column: v}\nusers: {table: people, columns: {name: traits.name}}\n", "adopt.verified_email", "exactly one column"},
		{"adopting by two e-mails", good + "ory: {admin_url: \"http://127.0.0.1:4434\"}\nadopt: {verified_email: true, verified_column: v}\nusers: {table: people, columns: {a: traits.email, b: verified_email}}\n", "adopt.verified_email", "exactly one column"},
		{"verified_column of SQL", good + "adopt: {verified_column: \"v or 1=1\"}\n", "adopt.verified_column", "letters"},
		{"create_url is a list", good + "users: {create_url: [\"http://app/users\"]}\n", "users.create_url", "text"},
		{"create_url is a file", good + "users: {create_url: \"file:///etc/passwd\"}\n", "users.create_url", "http://"},
		{"create_url with a fragment", good + "users: {create_url: \"http://app/users#a\"}\n", "users.create_url", "fragment"},
		{"create_url at port 99999", good + "users: {create_url: \"http://app:99999/users\"}\n", "users.create_url", "port"},
		{"create_secret is text", good + "users: {create_url: \"http://app/users\", create_secret: abc}\n", "users.create_secret", "list"},
		{"three of create_secret", good + "users: {create_url: \"http://app/users\", create_secret: [a, b, c]}\n", "users.create_secret", "at most two"},
		{"listening at another kind of database", good + "database: postgres://u@h/n\ndatabase_listen: mysql://u:" + cmdtest.Key + "@h/n\n", "database_listen", "postgres://"},
		{"listening at a file", good + "database: postgres://u@h/n\ndatabase_listen: sqlite://a.db\n", "database_listen", "postgres://"},
		{"listening with a bad escape", good + "database: postgres://u@h/n\ndatabase_listen: \"postgres://u:" + cmdtest.Key + "%zz@h/n\"\n", "database_listen", "postgres://"},
		{"listening at a list", good + "database: postgres://u@h/n\ndatabase_listen: [a]\n", "database_listen", "text"},
		{"outage_grace is a word", good + "auth: {outage_grace: none}\n", "auth.outage_grace", "duration"},
		{"outage_grace is null", good + "auth: {outage_grace: null}\n", "auth.outage_grace", "no value"},

		// Other keys.
		{"back-reference elsewhere", good + "back_reference: {path: traits.id}\n", "back_reference.path", "one key below"},
		{"back-reference too deep", good + "back_reference: {path: metadata_public.a.b}\n", "back_reference.path", "one key below"},
		{"back-reference with a slash", good + "back_reference: {path: metadata_public.a/b}\n", "back_reference.path", "one key below"},
		{"back-reference without a key", good + "back_reference: {path: metadata_public}\n", "back_reference.path", "one key below"},
		{"write", good + "back_reference: {write: always}\n", "back_reference.write", "one of none, reserve, create, repair"},
		{"load without a sign", good + "reconcile: {load: \"10\"}\n", "reconcile.load", "between 1% and 100%"},
		{"load of zero", good + "reconcile: {load: 0%}\n", "reconcile.load", "between 1% and 100%"},
		{"load of more than all", good + "reconcile: {load: 101%}\n", "reconcile.load", "between 1% and 100%"},
		{"load that is not a number", good + "reconcile: {load: NaN%}\n", "reconcile.load", "between 1% and 100%"},
		{"listening at SQLite", good + "database_listen: postgres://u@h/n\n", "database_listen", "for Postgres only"},
		{"listening nowhere", good + "database: postgres://u@h/n\ndatabase_listen: x\n", "database_listen", "not of a pooler"},
		{"max_stale 0", good + "auth: {max_stale: 0s}\n", "auth.max_stale", "more than 0"},
		{"max_stale -1", good + "auth: {max_stale: -1s}\n", "auth.max_stale", "more than 0"},
		{"max_stale ten years", good + "auth: {max_stale: 87600h}\n", "auth.max_stale", "at most 1h"},
		{"outage_grace 2h", good + "auth: {outage_grace: 2h}\n", "auth.outage_grace", "at most 1h"},
		{"outage_grace -1s", good + "auth: {outage_grace: -1s}\n", "auth.outage_grace", "at most 1h"},
		{"max_stale beyond time", good + "auth: {max_stale: 99999999h}\n", "auth.max_stale", "duration"},
		{"proxies by name", good + "serve: {trusted_proxies: [localhost]}\n", "serve.trusted_proxies[0]", "IP address or a network"},
		{"proxies: everybody, almost", good + "serve: {trusted_proxies: [10.0.0.1/8]}\n", "serve.trusted_proxies[0]", "host bits"},
		{"proxies with a zone", good + "serve: {trusted_proxies: [\"fe80::1%eth0\"]}\n", "serve.trusted_proxies[0]", "IP address or a network"},
		{"basic without a user", good + "hooks: {basic: {hydrate: \":" + cmdtest.Key + "\"}}\n", "hooks.basic.hydrate", "user:password"},
		{"basic without a password", good + "hooks: {basic: {hydrate: " + cmdtest.Key + "}}\n", "hooks.basic.hydrate", "user:password"},
		{"basic with a short password", good + "hooks: {basic: {hydrate: \"u:abc\"}}\n", "hooks.basic.hydrate", "at least 32 bytes"},
		{"login at a script", good + "auth: {login_url: \"javascript:alert(1)\"}\n", "auth.login_url", "http(s)://host/path"},
		{"login with a user", good + "auth: {login_url: \"https://u:" + cmdtest.Key + "@h/\"}\n", "auth.login_url", "http(s)://host/path"},
		{"login at a path", good + "auth: {login_url: /login}\n", "auth.login_url", "http(s)://host/path"},
		{"return to any host", good + "auth: {return_to_hosts: [\"*.example.com\"]}\n", "auth.return_to_hosts[0]", "exactly"},
		{"return to a URL", good + "auth: {return_to_hosts: [\"https://app.example.com\"]}\n", "auth.return_to_hosts[0]", "exactly"},
		{"return to a host in capitals", good + "auth: {return_to_hosts: [App.example.com]}\n", "auth.return_to_hosts[0]", "lower case"},
		{"keys over plain http", good + jwtBut("jwks: http://keys.example/jwks.json"), "auth.jwt.jwks", "use https"},
		{"keys by ftp", good + jwtBut("jwks: ftp://keys.example/jwks.json"), "auth.jwt.jwks", "https://"},
		{"keys with a password", good + jwtBut("jwks: https://u:"+cmdtest.Key+"@keys.example/"), "auth.jwt.jwks", "credentials"},
		{"no keys", good + "auth: {jwt: {issuer: x, audience: y}}\n", "auth.jwt.jwks", "it is not set"},
		{"no issuer", good + "auth: {jwt: {jwks: /k.json, audience: y}}\n", "auth.jwt.issuer", "Ory's public URL"},
		{"alg none", good + jwtBut("algorithms: [none]"), "auth.jwt.algorithms", "(none) proves nothing"},
		{"alg HS256", good + jwtBut("algorithms: [ES256, HS256]"), "auth.jwt.algorithms", "cannot be published"},
		{"alg in small letters", good + jwtBut("algorithms: [es256]"), "auth.jwt.algorithms", "must be one of"},
		{"user in iss", good + jwtBut("user_claim: iss"), "auth.jwt.user_claim", "holds the user's ID"},
		{"a token for a day", good + jwtBut("max_life: 24h"), "auth.jwt.max_life", "between 1s and 1h"},
		{"a token for no time", good + jwtBut("max_life: 0s"), "auth.jwt.max_life", "between 1s and 1h"},
		{"jwt is a word", good + "auth: {jwt: yes}\n", "auth.jwt", "mapping"},
		{"jwt has another key", good + jwtBut("jku: x"), "auth.jwt.jku", "no such key"},
		{"audience of two words", good + "auth: {audience: \"a b\"}\n", "auth.audience", "visible ASCII"},
		{"a built-in policy", good + "auth: {policies: {optional: {aal: aal2}}}\n", "auth.policies.optional", "built in"},
		{"a policy with a slash", good + "auth: {policies: {a/b: {}}}\n", "auth.policies.…", "1 to 64"},
		{"a policy in capitals", good + "auth: {policies: {Admin: {}}}\n", "auth.policies.Admin", "1 to 64"},
		{"a policy of an unknown key", good + "auth: {policies: {a: {all: aal2}}}\n", "auth.policies.a.all", "did you mean aal"},
		{"a policy twice", good + "auth: {policies: {a: {}, a: {}}}\n", "auth.policies.a", "twice"},
		{"a policy that is text", good + "auth: {policies: {a: aal2}}\n", "auth.policies.a", "mapping"},
		{"policies as a list", good + "auth: {policies: [a]}\n", "auth.policies", "mapping"},
		{"aal3", good + "auth: {policies: {a: {aal: aal3}}}\n", "auth.policies.a.aal", "aal1 or aal2"},
		{"fresh in the past", good + "auth: {policies: {a: {fresh: -1m}}}\n", "auth.policies.a.fresh", "between 1s"},
		{"fresh without a unit", good + "auth: {policies: {a: {fresh: 15}}}\n", "auth.policies.a.fresh", "duration"},
		{"a redirect to nowhere", good + "auth: {policies: {a: {login_redirect: true}}}\n", "auth.policies.a.login_redirect", "needs auth.login_url"},
		{"unknown header", good + "auth: {headers: {user: X-User}}\n", "auth.headers.user", "no such header"},
		{"header with an underscore", good + "auth: {headers: {user_id: X_User}}\n", "auth.headers.user_id", "letters, digits and '-'"},
		{"header with a newline", good + "auth: {headers: {user_id: \"X\\r\\nY: z\"}}\n", "auth.headers.user_id", "letters, digits and '-'"},
		{"header of the framing", good + "auth: {headers: {user_id: content-length}}\n", "auth.headers.user_id", "must not be Content-Length"},
		{"header of the connection", good + "auth: {headers: {session_id: connection}}\n", "auth.headers.session_id", "must not be Connection"},
		{"header of the answer", good + "auth: {headers: {email: Set-Cookie}}\n", "auth.headers.email", "must not be Set-Cookie"},
		{"a user in Authorization", good + "auth: {headers: {identity_id: Authorization}}\n", "auth.headers.identity_id", "must not be Authorization"},
		{"host in aal", good + "auth: {headers: {aal: HOST}}\n", "auth.headers.aal", "must not be Host"},
		{"cookie in assertion", good + "auth: {headers: {assertion: cookie}}\n", "auth.headers.assertion", "must not be Cookie"},
		{"one header for two", good + "auth: {headers: {user_id: X-A, email: x-a}}\n", "auth.headers.user_id", "same name as email"},
		{"one header for two, one by default", good + "auth: {headers: {user_id: x-auth-email}}\n", "auth.headers.user_id", "same name as email"},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := processorTime(t)
			_, _, err := load(t, test.text, cmdtest.Env("SYMBOLON_SECRET", ifUsed(test.text), "EMPTY", ""))
			var c *Error
			if !errors.As(err, &c) {
				t.Fatalf("got %v", err)
			}
			if took := processorTime(t) - before; took > 3*time.Second { // a few ms in most cases
				t.Errorf("reading took %s", took)
			}
			found := false
			for _, f := range c.faults {
				found = found || f.path == test.path && strings.Contains(f.text, test.says)
			}
			if !found {
				t.Errorf("want %q to say %q, got:\n%v", test.path, test.says, err)
			}
			if strings.Contains(strings.ToLower(err.Error()), "canary") {
				t.Errorf("the error has a secret: %v", err)
			}
		})
	}
}

// TestManyFaults checks that a file with very many faults is read in half a second and
// not in minutes, as a comparison of each fault with each would need. It measures CPU
// time, because a busy machine is slow.
func TestManyFaults(t *testing.T) {
	var b strings.Builder
	for i := 0; b.Len() < 1<<20-20; i++ {
		_, _ = fmt.Fprintf(&b, "k%d: 1\n", i)
	}
	before := processorTime(t)
	_, _, err := load(t, b.String(), cmdtest.Env())
	if err == nil || strings.Count(err.Error(), "\n") != maxFaults || !strings.Contains(err.Error(), "there are more") {
		t.Errorf("got %.300v", err)
	}
	if took := processorTime(t) - before; took > 30*time.Second { // about two with the race detector
		t.Errorf("reading took %s", took)
	}
}

// processorTime returns the CPU time of this process.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// ifUsed sets the secret only for files that use it.
func ifUsed(text string) string {
	if strings.Contains(text, "${SYMBOLON_SECRET}") {
		return cmdtest.Secret
	}
	return ""
}

// laughs is a YAML file of the "billion laughs" attack.
func laughs() string {
	var b strings.Builder
	b.WriteString("a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n")
	for c := 'b'; c < 'k'; c++ {
		before := "*" + string(c-1)
		b.WriteString(string(c) + ": &" + string(c) + " [" + strings.Repeat(before+", ", 8) + before + "]\n")
	}
	return b.String()
}
