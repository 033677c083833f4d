package flowui

import "slices"

// titled is the heading of a settings section.
type titled struct{ title, hint string }

// headings are by group, because Ory sends only the group.
var headings = map[string]titled{
	"profile":       {"About you", ""},
	"password":      {"Password", "Choose a new one; the old one stops working."},
	"totp":          {"Authenticator app", "At each sign-in you are asked for a code from your app."},
	"lookup_secret": {"Backup codes", "For the day your phone is gone: each code works once in place of the app's."},
	"webauthn":      {"Security keys", "A key that you plug in or hold near, as your second factor."},
	"passkey":       {"Passkeys", "Sign in with your device instead of a password."},
	"oidc":          {"Linked accounts", "Other accounts that you can sign in with."},
	"saml":          {"Linked accounts", "Other accounts that you can sign in with."},
}

// heading returns the title of a settings section. An unknown group gets its name as
// title.
func heading(s section) (title, hint string) {
	h, known := headings[s.Group]
	if !known {
		return humanise(s.Group), ""
	}
	if s.Group == "totp" && slices.ContainsFunc(s.Fields, func(f field) bool { return f.Kind == "input" }) {
		return h.title, "Scan the code with an authenticator app, then type the six digits that it shows."
	}
	return h.title, h.hint
}
