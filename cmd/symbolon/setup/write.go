package setup

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
)

// secretFile is beside the configuration.
func (p *plan) secretFile() string { return filepath.Join(filepath.Dir(p.file), "symbolon.secret") }

// readSecret reads the secret that is there, or makes one.
func (p *plan) readSecret() error {
	if p.Env[config.EnvName("secret")] != "" {
		return nil
	}
	text, err := os.ReadFile(p.secretFile())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		b := make([]byte, 32)
		_, _ = rand.Read(b) // it never fails
		p.secret = base64.StdEncoding.EncodeToString(b)
		return nil
	case err != nil:
		return fmt.Errorf("read the secret: %w", err)
	}
	p.secret = strings.TrimSpace(string(text))
	if _, err := symbolon.ParseSecret(p.secret); err != nil {
		return cli.Usage(fmt.Errorf("%s: %w", p.secretFile(), err))
	}
	return nil
}

// write writes the files. The configuration is read back first, as serve will read it, and
// gets its name last: if it is there, the other files are too.
func (p *plan) write() error {
	var hooks strings.Builder
	if err := system.Actions(p.config).WriteKratos(&hooks); err != nil {
		return err
	}
	text, err := p.render()
	if err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	files := []file{{path: p.hooks, text: hooks.String(), replace: p.flags.Force}, {path: p.file, text: text, replace: p.flags.Force}}
	if p.secret != "" {
		if _, err := os.Lstat(p.secretFile()); errors.Is(err, fs.ErrNotExist) {
			files = append([]file{{path: p.secretFile(), text: p.secret + "\n"}}, files...)
		}
	}
	for i := range files {
		defer files[i].remove()
		if err := files[i].draft(); err != nil {
			return err
		}
	}
	env := config.Environ{config.EnvName("secret"): p.env[config.EnvName("secret")]}
	maps.Copy(env, p.Env)
	if _, _, err := config.Load(files[len(files)-1].name, env); err != nil {
		return fmt.Errorf("the configuration that would be written cannot be read: %w", err)
	}
	for _, f := range files {
		if err := f.place(); err != nil {
			return err
		}
	}
	return nil
}

// file is a file that is complete before it gets its name.
type file struct {
	path, text string
	replace    bool
	name       string // of the draft
}

// draft writes the text beside the path. Only the owner may read it.
func (f *file) draft() error {
	out, err := os.CreateTemp(filepath.Dir(f.path), ".symbolon-*"+filepath.Ext(f.path)) // 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", f.path, err)
	}
	f.name = out.Name()
	_, err = out.WriteString(f.text)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return fmt.Errorf("write %s: %w", f.path, err)
	}
	return nil
}

// place gives the draft its name. Unless it may replace a file, it fails if there is one.
func (f *file) place() error {
	rename := os.Link
	if f.replace {
		rename = os.Rename
	}
	if err := rename(f.name, f.path); err != nil {
		return fmt.Errorf("write %s: %w", f.path, err)
	}
	return nil
}

func (f *file) remove() { _ = os.Remove(f.name) }

// literal are the keys of a section that are not empty. Text from the environment or a flag
// is literal: its ${ means itself.
func literal(texts map[string]string) map[string]any {
	section := map[string]any{}
	for key, text := range texts {
		if text != "" {
			section[key] = strings.ReplaceAll(text, "${", "$${")
		}
	}
	return section
}

// render writes the keys that init sets, in alphabetical order. Secrets of the environment
// stay there.
func (p *plan) render() (string, error) {
	c := p.config
	ory := literal(map[string]string{"public_url": c.Ory.PublicURL, "admin_url": c.Ory.AdminURL})
	if c.Ory.Token != "" {
		ory["token"] = "${SYMBOLON_ORY_TOKEN}"
	}
	top := literal(map[string]string{"database": c.Database.Reveal()})
	if p.Env[config.EnvName("database")] != "" && p.flags.Database == "" {
		top["database"] = "${SYMBOLON_DATABASE}"
	}
	maps.Copy(top, map[string]any{"ory": ory, "secret": "${SYMBOLON_SECRET}", //nolint:gosec // the name of a variable, no secret
		"serve": literal(map[string]string{"url": c.Serve.URL}), "users": renderUsers(c.Users)})
	var b strings.Builder
	b.WriteString("# Written by symbolon init. Every other key, with its default, is in symbolon.example.yaml.\n")
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	err := e.Encode(top)
	return b.String(), err
}

func renderUsers(u config.UsersConfig) map[string]any {
	users := literal(map[string]string{"create_url": u.CreateURL})
	if u.CreateURL == "" {
		users = literal(map[string]string{"table": u.Table, "id": u.ID, "identity": u.Identity, "new_id": string(u.NewID),
			"on_identity_deleted": string(u.OnIdentityDeleted)})
		for key, list := range map[string][]string{"release_columns": u.ReleaseColumns, "anonymise_columns": u.AnonymiseColumns} {
			if len(list) > 0 {
				users[key] = list
			}
		}
	}
	users["columns"] = literal(u.Columns)
	return users
}
