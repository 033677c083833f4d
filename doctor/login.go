package doctor

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/link"
)

const noUpdates = "no enabled OIDC or SAML provider has update_identity_on_login: automatic"

// checkLoginMissing checks that a hook follows each sign-in that may change the identity.
func (d *Doctor) checkLoginMissing(_ context.Context) Result {
	var missing []string
	providers := d.Kratos.UpdatingProviders()
	for _, p := range providers {
		sync := slices.ContainsFunc(d.Kratos.AfterLogin(p.Method), func(h hooks.Hook) bool { return h.Route == "sync" })
		if !sync && !slices.Contains(missing, p.Method) {
			missing = append(missing, p.Method)
		}
	}
	switch {
	case len(providers) == 0:
		return well("%s", noUpdates)
	case len(missing) == 0:
		return well("a sync hook runs after each sign-in that may change the identity")
	}
	return problem("no sync hook in login.after for %s, whose providers change the identity at a sign-in (update_identity_on_login: automatic)", strings.Join(missing, ", ")).
		breaks("an address that changes at a sign-in is old in the users table until the next run of reconcile").fix("%s", printAgain)
}

// checkLoginWaits finds Symbolon's hooks that Ory would wait for at a sign-in.
func (d *Doctor) checkLoginWaits(_ context.Context) Result {
	at := d.find("", func(p placed) bool { return p.flow == "login" && !p.Ignore })
	if len(at) == 0 {
		return well("no sign-in waits for a Symbolon hook")
	}
	return problem("a Symbolon hook without response.ignore: true runs after sign-ins, in %s", strings.Join(at, ", ")).
		breaks("during an outage of Symbolon nobody can sign in there").
		fix("set response: {ignore: true} there: %s", printAgain)
}

// checkMapper finds providers that replace metadata_public, and the user's ID in it, at each
// sign-in. It reads the text of their Jsonnet and does not run it.
func (d *Doctor) checkMapper(_ context.Context) Result {
	if d.Actions.BackReference.WithDefaults().Write == link.WriteNone {
		return well("metadata_public has no ID of Symbolon, because back_reference.write is none")
	}
	var writes, keeps, unread []string
	providers := d.Kratos.UpdatingProviders()
	for _, p := range providers {
		body, why := source(p.Mapper)
		text := comments.ReplaceAllString(body, "")
		switch {
		case why != "":
			unread = append(unread, p.ID+": "+why)
		case !strings.Contains(text, "metadata_public"):
		case readsIdentity.MatchString(text):
			keeps = append(keeps, p.ID)
		default:
			writes = append(writes, p.ID)
		}
	}
	switch {
	case len(writes) > 0:
		return problem("the mapper of %s outputs metadata_public at each sign-in (update_identity_on_login: automatic)", strings.Join(writes, ", ")).
			breaks("each sign-in replaces metadata_public, and the user's ID in it is lost; Symbolon itself still knows the user, but programs that read the ID at Ory do not find it; only back_reference.write: repair writes it again").
			fix("leave metadata_public out of the mapper, or let the mapper add its values to those of std.extVar('identity').metadata_public")
	case len(keeps) > 0:
		return unknown("sign in twice by this provider, and look whether metadata_public still has the user's ID",
			"the mapper of %s outputs metadata_public and reads the identity; the doctor does not run Jsonnet", strings.Join(keeps, ", "))
	case len(unread) > 0:
		return unknown("look at the mapper yourself: it must not output metadata_public", "a mapper cannot be read here: %s", strings.Join(unread, "; "))
	case len(providers) == 0:
		return well("%s", noUpdates)
	}
	return well("no provider replaces metadata_public at a sign-in")
}

// readsIdentity finds Jsonnet that reads the identity, and may keep what it has.
var readsIdentity = regexp.MustCompile(`std\.extVar\(\s*['"]identity['"]\s*\)`)
