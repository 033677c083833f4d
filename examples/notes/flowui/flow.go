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

// Flow is what Ory says about one run of a self-service flow, as far as a page needs it.
type Flow struct {
	Kind         Kind   `json:"-"`
	ID           string `json:"id"`
	State        string `json:"state"`         // choose_method, sent_email, passed_challenge, show_form, success
	RequestURL   string `json:"request_url"`   // the URL that started the flow, with the query it was started with
	ReturnTo     string `json:"return_to"`     // where Ory sends the browser afterwards; may be empty
	Refresh      bool   `json:"refresh"`       // login only: somebody signed in confirms that it is them
	RequestedAAL string `json:"requested_aal"` // login only: aal1, or aal2 for the second factor
	UI           UI     `json:"ui"`
}

// UI is the form that a flow asks for.
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

// Attributes is the union of what the node types carry.
type Attributes struct {
	ID string `json:"id"` // all but input

	// input
	Name           string `json:"name"`
	InputType      string `json:"type"` // a script's MIME type, too
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

// Message is a sentence of Ory's for the person in front of the page. IDs are stable, texts are not: translate by ID.
type Message struct {
	ID      int64           `json:"id"`
	Text    string          `json:"text"`
	Type    string          `json:"type"` // info, error or success
	Context json.RawMessage `json:"context"`
}

// Value is an input's value as HTML wants it: a string. Ory sends strings, numbers and booleans; a number keeps every digit it
// came with. Anything else (an object, a list) has no place in an input and is the empty string.
type Value string

// UnmarshalJSON never fails on valid JSON: one odd value must not cost the whole page.
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

// maxNodes bounds what one page shows; Ory's longest pages have about fifty nodes.
const maxNodes = 1000

// Parse reads a flow of this kind as Ory's API sends it. It refuses what cannot be shown as a form: no ID, or an action that is no http(s) URL.
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

// WantsScript reports whether the flow offers a method that only Ory's script can carry out (passkeys, security keys). A page
// that shows it with Options.Scripts needs Ory's origin in its CSP's script-src.
func (f *Flow) WantsScript() bool {
	return slices.ContainsFunc(f.UI.Nodes, func(n Node) bool { return n.Type == "script" })
}

// visible: an input that somebody fills in.
func (n *Node) visible() bool { return n.Type == "input" && !n.hidden() && !n.button() }

func (n *Node) hidden() bool { return n.Type == "input" && n.Attributes.InputType == "hidden" }

// button: an input that is pressed. A submit sends the form; a button needs a script.
func (n *Node) button() bool { return n.submit() || n.scripted() }

func (n *Node) submit() bool { return n.Type == "input" && n.Attributes.InputType == "submit" }

func (n *Node) scripted() bool { return n.Type == "input" && n.Attributes.InputType == "button" }

// label is what Ory calls the node, or else its name made readable: traits.first_name -> First name.
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

// humanise makes a machine's name readable: lookup_secret -> Lookup secret.
func humanise(name string) string {
	name = strings.TrimSpace(strings.NewReplacer("_", " ", "-", " ").Replace(name))
	if name == "" {
		return ""
	}
	return strings.ToUpper(name[:1]) + name[1:]
}
