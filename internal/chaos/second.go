package chaos

import "strings"

// Second returns the environment for a second server beside the server with the environment
// env. Both use the same database and secrets. The second one listens at its own addresses.
func Second(env []string, public, operator string) []string {
	var out []string
	for _, pair := range env {
		name, _, _ := strings.Cut(pair, "=")
		if name != "SYMBOLON_SERVE_PUBLIC" && name != "SYMBOLON_SERVE_ADMIN" {
			out = append(out, pair)
		}
	}
	return append(out, "SYMBOLON_SERVE_PUBLIC="+public, "SYMBOLON_SERVE_ADMIN="+operator)
}
