package flowui

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Kind is one of Ory's self-service flows, spelled as in its URLs.
type Kind string

// The flows that have a page.
const (
	Login        Kind = "login"
	Registration Kind = "registration"
	Settings     Kind = "settings"
	Recovery     Kind = "recovery"
	Verification Kind = "verification"
)

// Flow is one self-service flow of Ory, with the fields that a page needs.
type Flow struct {
	Kind         Kind   `json:"-"`
	ID           string `json:"id"`
	State        string `json:"state"`         // choose_method, sent_email, passed_challenge, show_form, success
	RequestURL   string `json:"request_url"`   // the URL that started the flow, with its query
	ReturnTo     string `json:"return_to"`     // where Ory redirects the browser at the end; may be empty
	Refresh      bool   `json:"refresh"`       // login only: a signed-in person confirms the identity
	RequestedAAL string `json:"requested_aal"` // login only: aal1, or aal2 for the second factor
	UI           UI     `json:"ui"`
}

// UI is the form of a flow.
type UI struct {
	Action   string    `json:"action"`
	Method   string    `json:"method"`
	Nodes    []Node    `json:"nodes"`
	Messages []Message `json:"messages"`
}

// Node is one element of the form. Which attributes are set depends on Type: input, text, img, a or script.
type Node struct {
	Type       string     `json:"type"`
	Group      string     `json:"group"` // which method it belongs to: default, profile, password, totp, …
	Attributes Attributes `json:"attributes"`
	Messages   []Message  `json:"messages"`
	Meta       struct {
		Label *Message `json:"label"`
	} `json:"meta"`
}

// Attributes has the attributes of all node types.
type Attributes struct {
	ID string `json:"id"` // all but input

	// input
	Name           string `json:"name"`
	InputType      string `json:"type"` // or the MIME type of a script
	Value          Value  `json:"value"`
	Required       bool   `json:"required"`
	Disabled       bool   `json:"disabled"`
	Autocomplete   string `json:"autocomplete"`
	Pattern        string `json:"pattern"`
	MaxLength      int    `json:"maxlength"`
	OnClickTrigger string `json:"onclickTrigger"`
	OnLoadTrigger  string `json:"onloadTrigger"`

	Text  *Message `json:"text"`  // text
	Href  string   `json:"href"`  // a
	Title *Message `json:"title"` // a

	// img and script
	Src            string `json:"src"`
	Width          int    `json:"width"`
	Height         int    `json:"height"`
	Integrity      string `json:"integrity"`
	CrossOrigin    string `json:"crossorigin"`
	ReferrerPolicy string `json:"referrerpolicy"`
}

// Message is a text of Ory for the person. IDs are stable and texts are not, so translate by ID.
type Message struct {
	ID      int64           `json:"id"`
	Text    string          `json:"text"`
	Type    string          `json:"type"` // info, error or success
	Context json.RawMessage `json:"context"`
}

// Value is the value of an input as a string, as HTML needs it. Ory sends strings, numbers and booleans. A number keeps all its digits. An
// object or a list becomes the empty string.
type Value string

// UnmarshalJSON never fails on valid JSON, because one odd value must not break the whole page.
func (v *Value) UnmarshalJSON(raw []byte) error {
	*v = ""
	switch raw[0] {
	case '"':
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return err
		}
		*v = Value(s)
	case '{', '[', 'n':
	default:
		*v = Value(raw)
	}
	return nil
}

// maxNodes limits the nodes of a page. Ory's longest pages have about fifty.
const maxNodes = 1000

// Parse decodes a flow of this kind from Ory's API. It refuses a flow that cannot be shown as a form: without an ID, or with an action
// that is not an http(s) URL.
func Parse(kind Kind, raw []byte) (*Flow, error) {
	f := Flow{Kind: kind}
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, fmt.Errorf("parse flow: %w", err)
	}
	if f.ID == "" {
		return nil, errors.New("parse flow: it has no id")
	}
	if len(f.UI.Nodes) > maxNodes {
		return nil, fmt.Errorf("parse flow: %d nodes, more than %d", len(f.UI.Nodes), maxNodes)
	}
	action, err := url.Parse(f.UI.Action)
	if err != nil {
		return nil, fmt.Errorf("parse flow: its action: %w", err)
	}
	if (action.Scheme != "http" && action.Scheme != "https") || action.Host == "" {
		return nil, fmt.Errorf("parse flow: its action %q is no http(s) URL", f.UI.Action)
	}
	return &f, nil
}

// WantsScript reports whether the flow has a method that needs Ory's script (passkeys, security keys). A page that shows it with
// Options.Scripts needs Ory's origin in script-src of its CSP.
func (f *Flow) WantsScript() bool {
	return slices.ContainsFunc(f.UI.Nodes, func(n Node) bool { return n.Type == "script" })
}

// visible reports whether a person fills in the input.
func (n *Node) visible() bool { return n.Type == "input" && !n.hidden() && !n.button() }

func (n *Node) hidden() bool { return n.Type == "input" && n.Attributes.InputType == "hidden" }

// button reports whether the input is a button. A submit sends the form, and other buttons need a script.
func (n *Node) button() bool { return n.submit() || n.scripted() }

func (n *Node) submit() bool { return n.Type == "input" && n.Attributes.InputType == "submit" }

func (n *Node) scripted() bool { return n.Type == "input" && n.Attributes.InputType == "button" }

// label returns Ory's label, or else a readable form of the name: traits.first_name -> First name.
func (n *Node) label(text func(Message) string) string {
	if n.Meta.Label != nil && n.Meta.Label.Text != "" {
		return text(*n.Meta.Label)
	}
	name := n.Attributes.Name
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		name = name[i+1:]
	}
	return humanise(name)
}

// humanise makes a technical name readable: lookup_secret -> Lookup secret.
func humanise(name string) string {
	name = strings.TrimSpace(strings.NewReplacer("_", " ", "-", " ").Replace(name))
	if name == "" {
		return ""
	}
	return strings.ToUpper(name[:1]) + name[1:]
}
