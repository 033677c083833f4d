package flowui

import "slices"

// section is one <form>. Ory accepts one method per submit, so a settings page has one form per group. Each form also has the nodes that
// all groups share (the CSRF token).
type section struct {
	Group    string
	Title    string // settings only
	Hint     string
	Fragment string // settings only: after the submit the browser scrolls to this form, because a fragment survives redirects
	Divider  bool   // an "or" goes before it
	Bare     bool   // only buttons
	Scripted bool   // needs Ory's script, so it is hidden until the script is loaded
	Messages []shownMessage
	Hidden   []field
	Fields   []field
	Buttons  []button
}

// split divides the nodes of a flow into forms.
//
// If the groups share visible fields (a login's identifier), they are one form, because otherwise these fields would have to be filled in
// twice. Only sign-in with another provider is separate, because it needs none of these fields. If no visible fields are shared (settings,
// the second factor), each group is a form, so that required fields of one group do not block another group.
func split(f *Flow) [][]indexed {
	shared := sharesFields(f)
	main := mainGroup(f)
	home := func(n *Node) string {
		if shared && !standsAlone(n.Group) {
			return main
		}
		return n.Group
	}
	var order []string
	for i := range f.UI.Nodes {
		n := &f.UI.Nodes[i]
		if n.Group != "default" && n.Type != "script" && !slices.Contains(order, home(n)) {
			order = append(order, home(n))
		}
	}
	if len(order) == 0 {
		order = []string{main}
	}
	if !slices.Contains(order, main) {
		main = order[0]
	}
	forms := map[string][]indexed{}
	add := func(n indexed, groups ...string) {
		for _, g := range groups {
			forms[g] = append(forms[g], n)
		}
	}
	for i := range f.UI.Nodes {
		n := indexed{i, &f.UI.Nodes[i]}
		switch {
		case n.Type == "script":
		case n.Group != "default":
			add(n, home(n.Node))
		case n.hidden():
			add(n, order...)
		default:
			add(n, main)
		}
	}
	return arrange(f, order, forms)
}

// settingsOrder is the usual order of a settings page. Other groups follow, in Ory's order.
var settingsOrder = []string{"profile", "password", "passkey", "totp", "lookup_secret", "webauthn", "oidc"}

// indexed is a node with its place in the flow, from which element IDs are made.
type indexed struct {
	i int
	*Node
}

// arrange puts forms with fields before forms with only a button, and sorts a settings page.
func arrange(f *Flow, order []string, forms map[string][]indexed) [][]indexed {
	rank := func(group string) int {
		if f.Kind == Settings {
			return settingsRank(group)
		}
		if slices.ContainsFunc(forms[group], func(n indexed) bool { return n.visible() }) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(order, func(a, b string) int { return rank(a) - rank(b) })
	var arranged [][]indexed
	for _, group := range order {
		arranged = append(arranged, forms[group])
	}
	return arranged
}

func settingsRank(group string) int {
	if i := slices.Index(settingsOrder, group); i >= 0 {
		return i
	}
	return len(settingsOrder)
}

// sharesFields reports whether some fields belong to several groups, or their group has no button.
func sharesFields(f *Flow) bool {
	return f.Kind != Settings && slices.ContainsFunc(f.UI.Nodes, func(n Node) bool {
		return n.visible() && (n.Group == "default" || !f.hasButton(n.Group))
	})
}

func (f *Flow) hasButton(group string) bool {
	return slices.ContainsFunc(f.UI.Nodes, func(n Node) bool { return n.Group == group && n.button() })
}

// standsAlone reports whether a group's buttons lead to another provider.
func standsAlone(group string) bool { return group == "oidc" || group == "saml" }

// mainGroup returns the first group with fields, or else the first group that does not stand alone.
func mainGroup(f *Flow) string {
	first := ""
	for i := range f.UI.Nodes {
		n := &f.UI.Nodes[i]
		if n.Group == "default" || standsAlone(n.Group) {
			continue
		}
		if n.visible() {
			return n.Group
		}
		if first == "" {
			first = n.Group
		}
	}
	return first
}

// primary returns the index of the button that Enter presses: first a "method" button of the group with fields ("resend the code" is not a
// method), else the first button. A button that removes something is never primary. -1: there is none.
func primary(nodes []indexed) int {
	best, bestScore := -1, -1
	for at, n := range nodes {
		if !n.submit() || takesAway(n.Attributes.Name) {
			continue
		}
		score := 0
		if slices.ContainsFunc(nodes, func(o indexed) bool { return o.Group == n.Group && o.visible() }) {
			score += 2
		}
		if n.Attributes.Name == "method" {
			score++
		}
		if score > bestScore {
			best, bestScore = at, score
		}
	}
	return best
}
