package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/link"
)

// DefaultFile is read if it exists and --config does not name another file.
const DefaultFile = "symbolon.yaml"

// Load reads the file, then the environment, whose variables override the file if they are
// not empty, and checks the result. Every fault is in one *Error. Warnings are returned with
// and without an error.
func Load(file string, env Environ) (*Config, []Fault, error) {
	r := &report{where: map[string]string{}}
	c := Defaults()
	if err := readFile(file, env, c, r); err != nil {
		return nil, nil, err
	}
	overlayEnv(c, env, r)
	c.Complete()
	c.check(r)
	return c, r.warnings, r.err()
}

// NoFile reports whether Load reads no file, because --config names none and the default one
// does not exist.
func NoFile(file string) bool {
	if file != "" {
		return false
	}
	_, err := os.Stat(DefaultFile)
	return errors.Is(err, fs.ErrNotExist)
}

// FromEnvironment is the defaults with the values of the environment, neither completed nor
// checked.
func FromEnvironment(env Environ) (*Config, error) {
	r := &report{where: map[string]string{}}
	c := Defaults()
	overlayEnv(c, env, r)
	return c, r.err()
}

// Complete sets the keys whose defaults depend on other keys.
func (c *Config) Complete() {
	if c.Users.Table == OwnTable && c.Users.Columns == nil {
		c.Users.Columns = OwnColumns()
	}
	if c.Users.OnIdentityDeleted == "" {
		c.Users.OnIdentityDeleted = symbolon.KeepRow
		if c.Users.CreateURL == "" && c.Users.activeColumn() != "" {
			c.Users.OnIdentityDeleted = symbolon.DeactivateRow
		}
	}
}

// readFile reads file, or else the default one if it exists.
func readFile(file string, env Environ, c *Config, r *report) error {
	path := cmp.Or(file, DefaultFile)
	text, mode, err := slurp(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && file == "":
		return nil
	case err != nil:
		return cli.Usage(fmt.Errorf("read the configuration: %w", err))
	}
	y := &yamlReader{report: r, name: filepath.Base(path), env: env}
	y.read(text, c)
	if y.open && mode.Perm()&0o004 != 0 {
		r.warnings = append(r.warnings, Fault{"", path,
			"the file contains a secret, and every user of this machine can read it: run chmod 600, or put the secret into an environment variable and write ${SYMBOLON_SECRET}"})
	}
	return nil
}

// slurp reads a file, at most one byte more than is allowed.
func slurp(path string) ([]byte, fs.FileMode, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if info.IsDir() {
		return nil, 0, fmt.Errorf("%s is a folder", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	return text, info.Mode(), err
}

// Draws reports whether the reserve hook draws IDs from the database.
func (c *Config) Draws() bool {
	_, file := c.SQLitePath()
	return !file && c.Users.IDSource() == symbolon.ByDatabase && c.BackReference.Write != link.WriteNone
}

// BackReferenceKey is the key below metadata_public.
func (c *Config) BackReferenceKey() string {
	return strings.TrimPrefix(c.BackReference.Path, "metadata_public.")
}
