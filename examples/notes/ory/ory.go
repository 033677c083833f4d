// Package ory has the configuration of Ory Kratos for this application: kratos.yml and identity.schema.json. `kratos serve` reads the
// files, and the demo and the tests use this package.
package ory

import (
	_ "embed"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

var (
	//go:embed kratos.yml
	config string
	//go:embed identity.schema.json
	schema []byte
)

// Overlay turns kratos.yml into an overlay for symbolontest.KratosConfig whose Dir is dir. It has our methods, flows and schema, our pages
// at url, and the hooks from `symbolon actions print`. symbolontest sets Kratos' addresses and mail.
func Overlay(dir, url string, hooks []byte) ([]byte, error) {
	var ours, more map[string]any
	if err := yaml.Unmarshal([]byte(strings.ReplaceAll(config, "http://127.0.0.1:4455", url)), &ours); err != nil {
		return nil, fmt.Errorf("read ory/kratos.yml: %w", err)
	}
	if err := yaml.Unmarshal(hooks, &more); err != nil {
		return nil, fmt.Errorf("read the hooks: %w", err)
	}
	delete(ours, "serve")
	delete(ours, "courier")
	ours["identity"] = map[string]any{"default_schema_id": "person", "schemas": []any{
		map[string]any{"id": "person", "url": "base64://" + base64.StdEncoding.EncodeToString(schema)},
		map[string]any{"id": "default", "url": "file://" + filepath.ToSlash(filepath.Join(dir, "identity.schema.json"))}, // symbolontest's
	}}
	out, err := yaml.Marshal(laidOver(ours, more))
	if err != nil {
		return nil, fmt.Errorf("write Kratos' configuration: %w", err)
	}
	return out, nil
}

// laidOver merges mappings key by key. Every other value of over replaces base's value.
func laidOver(base, over map[string]any) map[string]any {
	for key, value := range over {
		below, isMap := base[key].(map[string]any)
		if above, ok := value.(map[string]any); ok && isMap {
			value = laidOver(below, above)
		}
		base[key] = value
	}
	return base
}
