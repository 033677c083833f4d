package setup

import (
	"cmp"
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

const secretName = "symbolon.secret"

// secretFile is beside the configuration.
func (p *plan) secretFile() string {
	dir, _ := filepath.Split(p.file)
	return dir + secretName
}

// readSecret reads the secret that is there, or makes one.
func (p *plan) readSecret() error {
	if p.Env[config.EnvName("secret")] != "" {
		return nil
	}
	if _, err := os.Lstat(p.secretFile()); errors.Is(err, fs.ErrNotExist) {
		b := make([]byte, 32)
		_, _ = rand.Read(b) // it never fails
		p.secret, p.newSecret = base64.StdEncoding.EncodeToString(b), true
		return nil
	}
	text, err := os.ReadFile(p.secretFile())
	info, unknown := os.Stat(p.secretFile())
	if err := cmp.Or(err, unknown); err != nil {
		return nothingWritten(fmt.Errorf("read the secret: %w", err))
	}
	p.secret = strings.TrimSpace(string(text))
	if _, err := symbolon.ParseSecret(p.secret); err != nil {
		return cli.Usage(nothingWritten(fmt.Errorf("%s: %w", p.secretFile(), err)))
	}
	if info.Mode().Perm()&0o004 != 0 {
		_, _ = fmt.Fprintf(p.Err, "symbolon: warning: every user of this machine may read the secret: chmod 600 %s\n", shell(p.secretFile()))
	}
	return nil
}

// draft writes the files under other names. The configuration is read back, as serve will read
// it.
func (p *plan) draft() error {
	var hooks strings.Builder
	if err := system.Actions(p.config).WriteKratos(&hooks); err != nil {
		return nothingWritten(err)
	}
	text, err := p.render()
	if err != nil {
		return nothingWritten(fmt.Errorf("write the configuration: %w", err))
	}
	if p.newSecret {
		p.drafts = append(p.drafts, &file{path: p.secretFile(), text: p.secret + "\n"})
	}
	conf := &file{path: p.file, text: text, replace: p.flags.Force}
	p.drafts = append(p.drafts, &file{path: p.hooks, text: hooks.String(), replace: p.flags.Force}, conf)
	for _, f := range p.drafts {
		if err := f.draft(); err != nil {
			return nothingWritten(fmt.Errorf("write %s: %w", f.path, err), "its folder must exist and be writable")
		}
	}
	env := config.Environ{config.EnvName("secret"): p.env[config.EnvName("secret")]}
	maps.Copy(env, p.Env)
	if _, _, err := config.Load(conf.name, env); err != nil {
		return nothingWritten(fmt.Errorf("the configuration that would be written cannot be read: %w", err))
	}
	return nil
}

// place gives the files their names, the configuration last: if it is there, the other files
// are too. If one does not get its name, all is as before.
func (p *plan) place() error {
	for i, f := range p.drafts {
		if err := f.place(); err != nil {
			for _, f := range p.drafts[:i] {
				f.takeBack()
			}
			return p.stopped(fmt.Errorf("write %s: %w", f.path, err), "run this again")
		}
	}
	return nil
}

func (p *plan) removeDrafts() {
	for _, f := range p.drafts {
		if f.name != "" {
			_, _ = os.Remove(f.name), os.Remove(f.former())
		}
	}
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
		return err
	}
	f.name = out.Name()
	_, err = out.WriteString(f.text)
	return errors.Join(err, out.Sync(), out.Close())
}

// former is a second name of the file that is replaced.
func (f *file) former() string { return f.name + ".former" }

// place gives the draft its name. If the path has a file already, place fails unless the
// draft may replace that file.
func (f *file) place() error {
	if !f.replace {
		return os.Link(f.name, f.path)
	}
	if err := os.Link(f.path, f.former()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(f.name, f.path)
}

// takeBack undoes place.
func (f *file) takeBack() {
	if errors.Is(os.Rename(f.former(), f.path), fs.ErrNotExist) {
		_ = os.Remove(f.path)
	}
}

// literal returns the keys of a section that are not empty. It writes each ${ in their texts
// as $${, because a text from the environment or a flag does not name a variable.
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
	b.WriteString("# Written by symbolon init. Every other key, with its default, is in\n# https://github.com/symbolon-id/symbolon/blob/main/cmd/symbolon/symbolon.example.yaml\n")
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	err := e.Encode(top)
	return b.String(), err
}

func renderUsers(u config.UsersConfig) map[string]any {
	users := literal(map[string]string{"create_url": u.CreateURL})
	if u.CreateURL == "" {
		users = literal(map[string]string{"table": u.Table, "id": u.ID, "identity": u.Identity, "new_id": string(u.NewID),
			"on_identity_deleted": string(u.OnIdentityDeleted), "placeholder": u.Placeholder})
		for key, list := range map[string][]string{"release_columns": u.ReleaseColumns, "anonymise_columns": u.AnonymiseColumns} {
			if len(list) > 0 {
				users[key] = list
			}
		}
	}
	users["columns"] = literal(u.Columns)
	return users
}
