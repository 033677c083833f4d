package symbolontest

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
)

// FindText searches every row of every table of a database for words, without regard to
// case. It returns the places as "table: row". A test uses it to prove that nothing of a
// person is left. dialect is "sqlite" or "postgres".
func FindText(t testing.TB, db *sql.DB, dialect string, words ...string) (places []string) {
	t.Helper()
	tables := `select '"' || name || '"' from sqlite_master where type = 'table'`
	row := ""
	if dialect == "postgres" {
		tables = `select quote_ident(table_schema) || '.' || quote_ident(table_name) from information_schema.tables
			where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')`
		row = "cast(t as text)"
	}
	for _, table := range column(t, db, tables) {
		text := row
		if dialect != "postgres" {
			var parts []string
			for _, name := range column(t, db, fmt.Sprintf(`select name from pragma_table_info(%s)`, strings.ReplaceAll(table, `"`, `'`))) {
				parts = append(parts, fmt.Sprintf(`coalesce(cast("%s" as text), '')`, name))
			}
			text = strings.Join(parts, " || '|' || ")
		}
		for _, line := range column(t, db, fmt.Sprintf(`select %s from %s t`, text, table)) {
			for _, word := range words {
				if strings.Contains(strings.ToLower(line), strings.ToLower(word)) {
					places = append(places, table+": "+line)
				}
			}
		}
	}
	return places
}

func column(t testing.TB, db *sql.DB, query string) (values []string) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		values = append(values, v)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return values
}
