package symbolontest

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// kratosTemplateDB is an empty, migrated SQLite database beside the built
// program: copying it saves the second that migrating takes.
const kratosTemplateDB = "empty.sqlite"

// migrate brings Kratos' database up to date.
func (k *Kratos) migrate(ctx context.Context) error {
	if k.config.DSN == "" {
		data := filepath.Join(k.dir, kratosDataFile)
		if isFile(data) {
			return runMigrations(ctx, k.program, k.dsn())
		}
		template := filepath.Join(filepath.Dir(k.program), kratosTemplateDB)
		if isFile(template) {
			return copyFile(data, template)
		}
	}
	return runMigrations(ctx, k.program, k.dsn())
}

// migrateTemplate makes the database that migrate copies: one file, therefore
// without the write-ahead log that the copies are opened with.
func migrateTemplate(ctx context.Context, program, path string) error {
	return runMigrations(ctx, program, sqliteDSN(path)+"&_journal_mode=DELETE")
}

func runMigrations(ctx context.Context, program, dsn string) error {
	cmd := kratosCommand(program, filepath.Dir(program), []string{"DSN=" + dsn}, "migrate", "sql", "-e", "--yes")
	out, err := output(ctx, cmd)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, tail(out, 4096))
	}
	return nil
}

// copyFile makes to, which must not exist yet.
func copyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}
