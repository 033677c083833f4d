package doctor

import (
	"context"
	"net/http"
)

// checkCreateURL asks the application to make a user with a POST that nobody signed and
// that names nobody: one that keeps to the contract refuses it and makes none.
func (d *Doctor) checkCreateURL(ctx context.Context) Result {
	if d.Unsigned == nil {
		return well("Symbolon makes the users itself (users.create_url is not set)")
	}
	const nobody = "nobody new gets a user: requests are answered with 503, and whoever has one is let in as before"
	status, err := d.Unsigned(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return unknown("run it again", "the examination was ended before the application answered")
	case err != nil:
		return problem("the application does not answer at users.create_url: %v", err).breaks("%s", nobody).
			mend("start it, or set users.create_url to where it is")
	case status < 300 || status == http.StatusConflict:
		return problem("the application answers %d to a POST that nobody signed", status).
			breaks("whoever reaches it makes users, and learns who has one").
			mend("verify the signature before anything else, and answer 401 (docs/create-url.md); look for a user without an identity, which this may have made")
	case status < 400:
		return problem("users.create_url is redirected (%d), and redirects are not followed", status).breaks("%s", nobody).
			mend("set users.create_url to the address that answers by itself")
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed, status == http.StatusGone:
		return problem("nothing takes a POST at users.create_url: it is answered with %d", status).
			breaks("nobody new gets a user: an answer of 4xx is the application's no, finding cannot_create").
			mend("set users.create_url to the path that the application has for it")
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status >= 500:
		return unknown("run it again when the application is well", "the application answers %d", status)
	}
	return well("the application answers at users.create_url, and refuses what nobody signed (%d)", status)
}
