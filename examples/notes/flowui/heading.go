package flowui

import "slices"

// heading titles a settings section. Ory names only the group; unknown groups are titled by their name.
func heading(s section) (title, hint string) {
	switch s.Group {
	case "profile":
		return "About you", ""
	case "password":
		return "Password", "Choose a new one; the old one stops working."
	case "totp":
		if slices.ContainsFunc(s.Fields, func(f field) bool { return f.Kind == "input" }) {
			return "Authenticator app", "Scan the code with an authenticator app, then type the six digits that it shows."
		}
		return "Authenticator app", "At each sign-in you are asked for a code from your app."
	case "lookup_secret":
		return "Backup codes", "For the day your phone is gone: each code works once in place of the app's."
	case "webauthn":
		return "Security keys", "A key that you plug in or hold near, as your second factor."
	case "passkey":
		return "Passkeys", "Sign in with your device instead of a password."
	case "oidc", "saml":
		return "Linked accounts", "Other accounts that you can sign in with."
	}
	return humanise(s.Group), ""
}
