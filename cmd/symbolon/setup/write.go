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
)

// secretFile stands beside the configuration.
func (p *plan) secretFile() string { return filepath.Join(filepath.Dir(p.file), "symbolon.secret") }

// readSecret takes the secret that is there, or makes one. It is written with the
// configuration.
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

func (p *plan) theSecret() string {
	if p.secret != "" {
		return p.secret
	}
	return p.Env[config.EnvName("secret")]
}

// write makes the files, for their owner only, after the configuration was read back as
// serve will read it. The configuration comes last: where it is, all is.
func (p *plan) write() error {
	var hooks strings.Builder
	render := p.actions.WriteKratos
	if p.flags.For == "network" {
		render = p.actions.WriteNetwork
	}
	if err := render(&hooks); err != nil {
		return err
	}
	text, err := p.render()
	if err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	made, err := temporary(p.file, text)
	defer func() { _ = os.Remove(made) }()
	if err != nil {
		return err
	}
	madeHooks, err := temporary(p.hooks, hooks.String())
	defer func() { _ = os.Remove(madeHooks) }()
	if err != nil {
		return err
	}
	env := config.Environ{config.EnvName("secret"): p.theSecret()}
	maps.Copy(env, p.Env)
	if _, _, err := config.Load(made, env); err != nil {
		return fmt.Errorf("the configuration that would be written cannot be read: %w", err)
	}
	if err := p.writeSecret(); err != nil {
		return err
	}
	place := os.Link // fails where somebody was faster
	if p.flags.Force {
		place = os.Rename
	}
	if err := errors.Join(place(madeHooks, p.hooks), place(made, p.file)); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return nil
}

// temporary writes a file beside the one that it will become, for its owner only.
func temporary(path, text string) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".symbolon-*"+filepath.Ext(path)) // 0600
	if err != nil {
		return "", fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return f.Name(), fmt.Errorf("write %s: %w", path, err)
	}
	return f.Name(), nil
}

func (p *plan) writeSecret() error {
	if p.secret == "" {
		return nil
	}
	f, err := os.OpenFile(p.secretFile(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil // it was read
	}
	if err != nil {
		return fmt.Errorf("write the secret: %w", err)
	}
	_, err = f.WriteString(p.secret + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write the secret: %w", err)
	}
	return nil
}

// chosen are the keys that init writes; all others keep their defaults.
type chosen struct {
	Ory struct {
		PublicURL string `yaml:"public_url"`
		AdminURL  string `yaml:"admin_url,omitempty"`
		Token     string `yaml:"token,omitempty"`
	} `yaml:"ory"`
	Database string `yaml:"database"`
	Secret   string `yaml:"secret"`
	Serve    struct {
		URL string `yaml:"url"`
	} `yaml:"serve"`
	Users chosenUsers `yaml:"users"`
}

type chosenUsers struct {
	CreateURL         string            `yaml:"create_url,omitempty"`
	Table             string            `yaml:"table,omitempty"`
	ID                string            `yaml:"id,omitempty"`
	Identity          string            `yaml:"identity,omitempty"`
	NewID             string            `yaml:"new_id,omitempty"`
	Columns           map[string]string `yaml:"columns"`
	OnIdentityDeleted string            `yaml:"on_identity_deleted,omitempty"`
	ReleaseColumns    []string          `yaml:"release_columns,omitempty,flow"`
	AnonymiseColumns  []string          `yaml:"anonymise_columns,omitempty,flow"`
}

// render writes the configuration. Secrets that came by the environment stay there.
func (p *plan) render() (string, error) {
	c, u := p.config, p.config.Users
	out := chosen{Secret: "${SYMBOLON_SECRET}", Database: literal(c.Database.Reveal())} //nolint:gosec // the name of a variable, not its value
	out.Ory.PublicURL, out.Ory.AdminURL, out.Serve.URL = literal(c.Ory.PublicURL), literal(c.Ory.AdminURL), literal(c.Serve.URL)
	if c.Ory.Token != "" {
		out.Ory.Token = "${SYMBOLON_ORY_TOKEN}"
	}
	if p.Env[config.EnvName("database")] != "" && p.flags.Database == "" {
		out.Database = "${SYMBOLON_DATABASE}"
	}
	out.Users = chosenUsers{CreateURL: literal(u.CreateURL), Columns: map[string]string{}}
	if u.CreateURL == "" {
		out.Users = chosenUsers{Table: u.Table, ID: u.ID, Identity: u.Identity, NewID: string(u.NewID), Columns: map[string]string{},
			OnIdentityDeleted: string(u.OnIdentityDeleted), ReleaseColumns: u.ReleaseColumns, AnonymiseColumns: u.AnonymiseColumns}
	}
	for column, expression := range u.Columns {
		out.Users.Columns[column] = literal(expression)
	}
	var b strings.Builder
	b.WriteString("# Written by symbolon init. Every other key, with its default, is in symbolon.example.yaml.\n")
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	err := e.Encode(out) //nolint:gosec // for its owner only; the secret is the name of a variable
	return b.String(), err
}

// literal is text in which ${ means itself.
func literal(text string) string { return strings.ReplaceAll(text, "${", "$${") }
