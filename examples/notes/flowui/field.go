package flowui

import (
	"encoding/json"
	"html/template"
	"slices"
	"strconv"
	"strings"
)

// field is an element of a form, except buttons. Kind names the template that shows it.
type field struct {
	Kind         string // hidden, input, checkbox, text, codes, img or a
	ID           string
	Name         string
	Type         string
	Value        string
	Label        string
	Autocomplete string
	Pattern      string
	InputMode    string
	MaxLength    int
	Required     bool
	Disabled     bool
	Checked      bool
	Autofocus    bool
	Invalid      bool
	Messages     []shownMessage
	Codes        []code
	Href         string
	Src          template.URL
	Width        int
	Height       int
	OnLoad       string
}

// DescribedBy names the elements that explain the field to a screen reader. It is empty
// if there are no messages.
func (f field) DescribedBy() string {
	if len(f.Messages) == 0 {
		return ""
	}
	return f.ID + "-msg"
}

// button is a button of a form.
type button struct {
	ID, Name, Value, Label string
	Trigger                string // the function of Ory's script; the button is hidden until the script is loaded
	Primary, Danger        bool
	Skip                   bool // sends the form although required fields of other methods are empty
	Disabled               bool
}

// code is one of Ory's backup codes.
type code struct {
	Text string
	Used bool
}

// shownMessage is a message with the text to show.
type shownMessage struct {
	Type string // info, error or success
	Text string
}

func shown(messages []Message, text func(Message) string) []shownMessage {
	var out []shownMessage
	for _, m := range messages {
		kind := "info"
		if m.Type == "error" || m.Type == "success" {
			kind = m.Type
		}
		if words := text(m); words != "" {
			out = append(out, shownMessage{Type: kind, Text: words})
		}
	}
	return out
}

func (o Options) field(n indexed) field {
	a := n.Attributes
	f := field{
		ID: "ory-" + strconv.Itoa(n.i), Name: a.Name, Value: string(a.Value), Label: n.label(o.Text),
		Required: a.Required, Disabled: a.Disabled, Pattern: a.Pattern, MaxLength: max(0, a.MaxLength),
		Messages: shown(n.Messages, o.Text),
	}
	f.Invalid = slices.ContainsFunc(f.Messages, func(m shownMessage) bool { return m.Type == "error" })
	switch n.Type {
	case "input":
		o.input(&f, a)
	case "text":
		o.text(&f, a)
	case "img":
		f.Kind, f.Src, f.Width, f.Height = "img", imageURL(a.Src), a.Width, a.Height
	case "a":
		f.Kind, f.Href = "a", a.Href
		if a.Title != nil {
			f.Label = o.Text(*a.Title)
		}
	}
	return f
}

// inputTypes are the allowed types of an input. Every other type is shown as text.
var inputTypes = []string{"text", "password", "number", "email", "tel", "datetime-local", "date", "url"}

func (o Options) input(f *field, a Attributes) {
	switch a.InputType {
	case "hidden":
		f.Kind = "hidden"
		if o.Scripts {
			f.OnLoad = a.OnLoadTrigger
		}
		return
	case "checkbox":
		f.Kind, f.Checked = "checkbox", a.Value == "true"
		return
	}
	f.Kind, f.Type = "input", "text"
	if slices.Contains(inputTypes, a.InputType) {
		f.Type = a.InputType
	}
	f.Autocomplete = autocomplete(a)
	if f.Autocomplete == "one-time-code" || a.Pattern == "[0-9]+" {
		f.InputMode = "numeric"
	}
	if f.Type == "password" {
		f.Value = "" // a page never shows a password
	}
}

// autocomplete returns Ory's value, or else the value that password managers and WCAG
// 1.3.5 expect.
func autocomplete(a Attributes) string {
	if a.Autocomplete != "" {
		return a.Autocomplete
	}
	return autocompletes[a.Name]
}

var autocompletes = map[string]string{
	"identifier":        "username",
	"totp_code":         "one-time-code",
	"code":              "one-time-code",
	"lookup_secret":     "off",
	"traits.name.first": "given-name",
	"traits.name.last":  "family-name",
	"traits.name":       "name",
}

func (o Options) text(f *field, a Attributes) {
	f.Kind = "text"
	if a.Text == nil {
		return
	}
	f.Value = o.Text(*a.Text)
	var context struct {
		Secrets []Message `json:"secrets"`
	}
	if json.Unmarshal(a.Text.Context, &context) != nil || len(context.Secrets) == 0 {
		return
	}
	f.Kind = "codes"
	for _, m := range context.Secrets {
		f.Codes = append(f.Codes, code{Text: o.Text(m), Used: m.ID == msgCodeUsed})
	}
}

// msgCodeUsed is Ory's message "Secret was used at …", which replaces a used code.
const msgCodeUsed = 1050014

// imageURL allows URLs that cannot run code: data: URLs of raster pictures (the QR code)
// and http(s). Other URLs become empty.
func imageURL(src string) template.URL {
	for _, prefix := range []string{"data:image/png;base64,", "data:image/jpeg;base64,", "data:image/gif;base64,", "https://", "http://"} {
		if strings.HasPrefix(src, prefix) {
			return template.URL(src) //nolint:gosec // one of the prefixes above: html/template itself refuses every data: URL
		}
	}
	return ""
}

func (o Options) button(n indexed, isPrimary bool) button {
	a := n.Attributes
	return button{
		ID: "ory-" + strconv.Itoa(n.i), Name: a.Name, Value: string(a.Value), Label: n.label(o.Text),
		Trigger: a.OnClickTrigger, Primary: isPrimary, Skip: !isPrimary, Danger: takesAway(a.Name), Disabled: a.Disabled,
	}
}

// takesAway reports whether a button removes a way to sign in.
func takesAway(name string) bool {
	return slices.Contains([]string{"totp_unlink", "lookup_secret_disable", "webauthn_remove", "passkey_remove", "unlink"}, name)
}
