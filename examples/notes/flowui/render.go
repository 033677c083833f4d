package flowui

import (
	"embed"
	"fmt"
	"html/template"
	"slices"
	"strings"
)

//go:embed form.html
var formHTML embed.FS

// Script is the small script that Options.Scripts needs beside Ory's. Serve it from your own origin, as type text/javascript.
//
//go:embed flowui.js
var Script []byte

var forms = template.Must(template.New("").ParseFS(formHTML, "form.html"))

// Options configures Render. The zero value works.
type Options struct {
	// Text returns the text of a message or label of Ory. Use it for translations and friendlier texts. Default: Ory's text.
	Text func(Message) string
	// Autofocus puts the cursor into the first field with an error. If there is none, it uses the first empty field, but not on a settings
	// page.
	Autofocus bool
	// Scripts also shows methods that need Ory's script: passkeys and security keys. The page must load Script, and its CSP must allow
	// Ory's origin in script-src. Ory must allow the page's origin (serve.public.cors), because the script has an integrity hash, which
	// browsers check only with CORS. If Scripts is not set, these methods are left out.
	Scripts bool
}

// page is the data of form.html.
type page struct {
	Action, Method string
	Messages       []shownMessage
	Sections       []section
	Scripts        []Attributes
}

// Render returns the flow's messages and forms as HTML. All texts are escaped, and there are no inline scripts or styles.
func Render(f *Flow, o Options) (template.HTML, error) {
	if o.Text == nil {
		o.Text = func(m Message) string { return m.Text }
	}
	p := page{Action: f.UI.Action, Method: "post", Messages: shown(f.UI.Messages, o.Text), Sections: o.sections(f)}
	if strings.EqualFold(f.UI.Method, "get") {
		p.Method = "get"
	}
	if o.Scripts {
		p.Scripts = scripts(f)
	}
	if o.Autofocus {
		autofocus(p.Sections, f.Kind != Settings)
	}
	var b strings.Builder
	if err := forms.ExecuteTemplate(&b, "flow", p); err != nil {
		return "", fmt.Errorf("render %s flow: %w", f.Kind, err)
	}
	return template.HTML(b.String()), nil //nolint:gosec // made by html/template
}

func (o Options) sections(f *Flow) []section {
	var out []section
	for _, nodes := range split(f) {
		s := o.section(nodes)
		if len(s.Buttons) == 0 && !readable(s) {
			continue // a method that needs a script
		}
		if f.Kind == Settings {
			s.Title, s.Hint = heading(s)
			s.Fragment = "#" + s.Group
		} else if len(out) > 0 {
			// One "or" before a row of buttons, and none before the way back.
			s.Divider = len(s.Buttons) > 0 && s.Buttons[0].Name != "screen" && (!s.Bare || !out[len(out)-1].Bare)
			s.quieten()
		}
		out = append(out, s)
	}
	return out
}

// quieten keeps only one primary button.
func (s *section) quieten() {
	for i := range s.Buttons {
		s.Buttons[i].Primary = false
	}
}

// section fills one form. A message at a node that cannot show it (a hidden field, a button) moves to the top of the form.
func (o Options) section(nodes []indexed) section {
	var s section
	best := primary(nodes)
	noScript := false
	for at, n := range nodes {
		if at == best || s.Group == "" || s.Group == "default" {
			s.Group = n.Group
		}
		switch {
		case n.scripted() && (!o.Scripts || n.Attributes.OnClickTrigger == ""):
			noScript = true
		case n.button():
			s.Messages = append(s.Messages, shown(n.Messages, o.Text)...)
			s.Buttons = append(s.Buttons, o.button(n, at == best))
		case n.hidden():
			s.Messages = append(s.Messages, shown(n.Messages, o.Text)...)
			s.Hidden = append(s.Hidden, o.field(n))
		default:
			if f := o.field(n); f.Kind != "" {
				s.Fields = append(s.Fields, f)
			}
		}
	}
	if noScript { // the name of a key that cannot be added without the script
		s.Fields = slices.DeleteFunc(s.Fields, func(f field) bool { return f.Name == "webauthn_register_displayname" })
	}
	slices.SortStableFunc(s.Buttons, func(a, b button) int { return rank(a) - rank(b) })
	s.Bare = len(s.Fields) == 0
	s.Scripted = len(s.Buttons) > 0 && !slices.ContainsFunc(s.Buttons, func(b button) bool { return b.Trigger == "" })
	return s
}

// rank sorts buttons: the primary one first, because Enter presses the first, and those that remove something last.
func rank(b button) int {
	switch {
	case b.Primary:
		return 0
	case b.Danger:
		return 2
	}
	return 1
}

// readable reports whether a form without anything to send has something to read, such as a link.
func readable(s section) bool {
	return slices.ContainsFunc(s.Fields, func(f field) bool { return f.Kind == "a" || f.Kind == "text" || f.Kind == "codes" })
}

func scripts(f *Flow) []Attributes {
	var out []Attributes
	for i := range f.UI.Nodes {
		if n := &f.UI.Nodes[i]; n.Type == "script" {
			out = append(out, n.Attributes)
		}
	}
	return out
}

// autofocus marks the first field with an error, or else, with orEmpty, the first empty field.
func autofocus(sections []section, orEmpty bool) {
	pick := func(want func(field) bool) bool {
		for _, s := range sections {
			for i := range s.Fields {
				if (s.Fields[i].Kind == "input" || s.Fields[i].Kind == "checkbox") && want(s.Fields[i]) {
					s.Fields[i].Autofocus = true
					return true
				}
			}
		}
		return false
	}
	if !pick(func(f field) bool { return f.Invalid }) && orEmpty {
		pick(func(f field) bool { return f.Kind == "input" && f.Value == "" && !f.Disabled })
	}
}
