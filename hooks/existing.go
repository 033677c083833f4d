package hooks

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// existing is the part of a kratos.yml that has hooks.
type existing struct {
	given bool
	flows map[string]any
}

func parseExisting(doc []byte) (existing, error) {
	if len(doc) == 0 {
		return existing{}, nil
	}
	var top map[string]any
	if err := yaml.Unmarshal(doc, &top); err != nil {
		return existing{}, fmt.Errorf("read the Kratos configuration: %w", err)
	}
	return existing{given: true, flows: sub(sub(top, "selfservice"), "flows")}, nil
}

// has reports whether a method has a list of its own.
func (e existing) has(flow, method string) bool {
	list, _ := sub(sub(sub(e.flows, flow), "after"), method)["hooks"].([]any)
	return len(list) > 0
}

// hooks returns the hooks that run after a method of a flow: the method's own list, or else
// the global one. Nil means that no configuration was given, and an empty list means that
// no hook runs.
func (e existing) hooks(flow, method string) []any {
	if !e.given {
		return nil
	}
	after := sub(sub(e.flows, flow), "after")
	if method != "" {
		if list, _ := sub(after, method)["hooks"].([]any); len(list) > 0 {
			return list
		}
	}
	if list, _ := after["hooks"].([]any); list != nil {
		return list
	}
	return []any{}
}

// ours reports whether a hook is one of Symbolon's, by its URL.
func (a Actions) ours(hook any) bool {
	h, _ := hook.(map[string]any)
	at, _ := sub(h, "config")["url"].(string)
	return strings.HasPrefix(at, strings.TrimSuffix(a.URL, "/")+"/hooks/")
}

// parses reports whether a hook runs before the identity is stored.
func parses(hook any) bool {
	h, _ := hook.(map[string]any)
	config := sub(h, "config")
	return sub(config, "response")["parse"] == true || config["can_interrupt"] == true
}

// sub returns a member that is an object, or an empty one.
func sub(m map[string]any, key string) map[string]any {
	s, _ := m[key].(map[string]any)
	return s
}
