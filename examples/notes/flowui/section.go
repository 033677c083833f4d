package flowui

import "slices"

// section is one <form>. Ory takes one method per submit, so a settings page has one form per group, each with the nodes that
// all groups share (the CSRF token) in it.
type section struct {
	Group    string
	Title    string // settings only
	Hint     string
	Fragment string // settings only: after the submit the browser is back at this form, for a fragment outlives redirects
	Divider  bool   // an "or" goes before it
	Bare     bool   // nothing to fill in: a button or two
	Scripted bool   // of no use without Ory's script, so hidden until that is there
	Messages []shownMessage
	Hidden   []field
	Fields   []field
	Buttons  []button
}

// split deals the flow's nodes out to forms.
//
// Where the groups share visible fields (a login's identifier), they must be one form, or those fields would have to be filled
// in twice; only sign-in with another provider stands alone, because it needs none of them. Where nothing visible is shared
// (settings, the second factor), each group is a form of its own, so that one group's required fields don't block another's.
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

// settingsOrder is how people expect a settings page; groups that it does not name come after these, as Ory sends them.
var settingsOrder = []string{"profile", "password", "passkey", "totp", "lookup_secret", "webauthn", "oidc"}

// indexed remembers a node's place in the flow: it makes unique element IDs.
type indexed struct {
	i int
	*Node
}

// arrange puts forms with fields before forms that are a button only, and a settings page into its order.
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

// sharesFields: some fields are not one group's own, or have no button of their own group to be sent with.
func sharesFields(f *Flow) bool {
	return f.Kind != Settings && slices.ContainsFunc(f.UI.Nodes, func(n Node) bool {
		return n.visible() && (n.Group == "default" || !f.hasButton(n.Group))
	})
}

func (f *Flow) hasButton(group string) bool {
	return slices.ContainsFunc(f.UI.Nodes, func(n Node) bool { return n.Group == group && n.button() })
}

// standsAlone: groups whose buttons lead away to another provider.
func standsAlone(group string) bool { return group == "oidc" || group == "saml" }

// mainGroup is the first group that somebody fills in, or else the first that does not stand alone.
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

// primary is the button that Enter presses and that looks like it: of the group with something to fill in, "method" before
// others ("resend the code" is none), else the first that is there; never one that takes something away. -1: none.
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
