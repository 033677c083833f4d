package condition

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
)

var codeForm = regexp.MustCompile(`^[a-z][a-z_]{0,62}$`)

// taken are the codes of package answer. user_gone is not among them: a condition may have
// this code, because it means the same.
var taken = []string{"invalid_json", "invalid_request", "not_found", "method_not_allowed", "timeout", "too_large", "unsupported_media",
	"unauthenticated", "aal2_required", "not_verified", "not_fresh", "link_on_hold", "cannot_create", "conflict", "unavailable",
	"not_eligible"}

// CheckCode returns an error if the code cannot be the code of a condition.
func CheckCode(code string) error {
	switch {
	case !codeForm.MatchString(code):
		return errors.New("a code must be at most 63 lower-case letters and '_', and must begin with a letter")
	case slices.Contains(taken, code):
		return fmt.Errorf("the code %s has another meaning already (docs/refusals.md); choose another one, such as user_suspended", code)
	}
	return nil
}
