package setup

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
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

// write makes both files, for their owner only, after the configuration was read back
// as serve will read it.
func (p *plan) write() error {
	tmp, err := os.CreateTemp(filepath.Dir(p.file), ".symbolon-*.yaml") // 0600
	if err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.WriteString(p.render())
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	env := maps.Clone(p.Env)
	if env == nil {
		env = config.Environ{}
	}
	env[config.EnvName("secret")] = p.theSecret()
	if _, _, err := config.Load(tmp.Name(), env); err != nil {
		return fmt.Errorf("the configuration that would be written cannot be read: %w", err)
	}
	if err := p.writeSecret(); err != nil {
		return err
	}
	place := os.Link // fails where somebody was faster
	if p.flags.Force {
		place = os.Rename
	}
	if err := place(tmp.Name(), p.file); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return nil
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

// render writes the keys that were answered; all others keep their defaults. Secrets
// that came by the environment stay there.
func (p *plan) render() string {
	c := p.config
	var b bytes.Buffer
	line := func(indent int, key string, value any) {
		fmt.Fprintf(&b, "%s%s: %s\n", strings.Repeat("  ", indent), key, yamlText(value))
	}
	b.WriteString("# Written by symbolon init. Every other key, with its default, is in symbolon.example.yaml.\n\nory:\n")
	line(1, "public_url", c.Ory.PublicURL)
	if c.Ory.AdminURL != "" {
		line(1, "admin_url", c.Ory.AdminURL)
	}
	if c.Ory.Token != "" {
		b.WriteString("  token: ${SYMBOLON_ORY_TOKEN}\n")
	}
	b.WriteString("\n")
	if p.Env[config.EnvName("database")] != "" && p.flags.Database == "" {
		b.WriteString("database: ${SYMBOLON_DATABASE}\n")
	} else {
		line(0, "database", c.Database.Reveal())
	}
	b.WriteString("\n# 32 bytes or more, always the same: IDs are proved and keys are made by it.\nsecret: ${SYMBOLON_SECRET}\n\nserve:\n")
	line(1, "url", c.Serve.URL)
	p.renderUsers(&b, line)
	return b.String()
}

func (p *plan) renderUsers(b *bytes.Buffer, line func(int, string, any)) {
	u := p.config.Users
	if u.CreateURL != "" {
		renderCreate(b, u, line)
		return
	}
	b.WriteString("\nusers:\n")
	line(1, "table", u.Table)
	line(1, "id", u.ID)
	line(1, "identity", u.Identity)
	line(1, "new_id", string(u.NewID))
	if len(u.Columns) == 0 {
		b.WriteString("  columns: {}\n")
	} else {
		b.WriteString("  columns:\n")
		for _, column := range slices.Sorted(maps.Keys(u.Columns)) {
			line(2, column, u.Columns[column])
		}
	}
	line(1, "on_identity_deleted", string(u.OnIdentityDeleted))
	if len(u.ReleaseColumns) > 0 {
		line(1, "release_columns", u.ReleaseColumns)
	}
	if len(u.AnonymiseColumns) > 0 {
		line(1, "anonymise_columns", u.AnonymiseColumns)
	}
}

// yamlText is a value on one line, in which ${ means itself.
func yamlText(v any) string {
	var n yaml.Node
	if err := n.Encode(v); err != nil {
		return `""`
	}
	n.Style |= yaml.FlowStyle
	escape(&n)
	text, err := yaml.Marshal(&n)
	if err != nil {
		return `""`
	}
	return strings.TrimSpace(string(text))
}

func escape(n *yaml.Node) {
	n.Value = strings.ReplaceAll(n.Value, "${", "$${")
	for _, c := range n.Content {
		escape(c)
	}
}
