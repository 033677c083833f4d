package notes

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/symbolon-id/symbolon/examples/notes/flowui"
)

// wording replaces some of Ory's texts. All others are shown unchanged. Ory documents
// that message IDs are stable, so translations also belong here.
func wording(f *flowui.Flow) func(flowui.Message) string {
	return func(m flowui.Message) string {
		switch {
		case m.ID == 1010001 && f.Refresh: // Sign in
			return "Confirm"
		case m.ID == 1010001, m.ID == 1010022: // Sign in, Sign in with password
			return "Log in"
		}
		return plainly(m)
	}
}

// plainly replaces texts of a schema validator by plain ones.
func plainly(m flowui.Message) string {
	var c struct {
		Min     int         `json:"min_length"`
		Max     int         `json:"max_length"`
		AtMost  json.Number `json:"maximum"`
		AtLeast json.Number `json:"minimum"`
		Const   any         `json:"expected"`
	}
	_ = json.Unmarshal(m.Context, &c) // in another context Ory's text stays
	switch m.ID {
	case 4000002: // Property name is missing.
		return "Please fill this in."
	case 4000003: // length must be >= 1, but got 0
		if c.Min == 1 {
			return "Please fill this in."
		}
		if c.Min > 1 {
			return fmt.Sprintf("Use at least %d characters.", c.Min)
		}
	case 4000017: // length must be <= 100, but got 120
		if c.Max > 0 {
			return fmt.Sprintf("Use at most %d characters.", c.Max)
		}
	case 4000018: // must be >= 18 but found 3
		if c.AtLeast != "" {
			return fmt.Sprintf("Use %s or more.", c.AtLeast)
		}
	case 4000020: // must be <= 120 but found 300
		if c.AtMost != "" {
			return fmt.Sprintf("Use %s or less.", c.AtMost)
		}
	case 4000029: // must be equal to constant true
		if fmt.Sprint(c.Const) == "true" {
			return "Please tick this."
		}
	case 1050014: // Secret was used at 2026-11-23 14:00:00 +0000 UTC
		return "used"
	case 4000007: // An account with the same identifier (email, phone, username, ...) exists already.
		return "There is an account with this email already. Log in instead, or use another address."
	}
	return m.Text
}

// place moves a message about the whole form to its field, for example "an account
// exists" to the address.
func place(f *flowui.Flow) {
	if f.Kind != flowui.Registration && f.Kind != flowui.Settings {
		return
	}
	for i := range f.UI.Nodes {
		node := &f.UI.Nodes[i]
		if node.Attributes.Name != "traits.email" || node.Attributes.InputType == "hidden" {
			continue
		}
		f.UI.Messages = slices.DeleteFunc(f.UI.Messages, func(m flowui.Message) bool {
			about := m.ID == 4000007
			if about {
				node.Messages = append(node.Messages, m)
			}
			return about
		})
	}
}
