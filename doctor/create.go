package doctor

import (
	"context"
	"net/http"
)

// checkCreateURL sends the application a POST without a signature and without an identity.
// A correct application refuses the POST and creates no user.
func (d *Doctor) checkCreateURL(ctx context.Context) Result {
	if d.Unsigned == nil {
		return well("Symbolon makes the users itself (users.create_url is not set)")
	}
	const nobody = "new people get no user, and their requests get 503; people who have a user are not affected"
	status, err := d.Unsigned(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return unknown("run it again", "the doctor was interrupted before the application answered")
	case err != nil:
		return problem("the application does not answer at users.create_url: %v", err).breaks("%s", nobody).
			fix("start it, or set users.create_url to its address")
	case status < 300 || status == http.StatusConflict:
		return problem("the application answers %d to a POST without a signature", status).
			breaks("anybody who can reach this URL can create users, and can find out which people have one").
			fix("verify the signature before anything else, and answer 401 (docs/create-url.md); then look for a user without an identity, because this check may have made one")
	case status < 400:
		return problem("users.create_url answers with a redirect (%d), and Symbolon does not follow redirects", status).breaks("%s", nobody).
			fix("set users.create_url to the address that answers without a redirect")
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed, status == http.StatusGone:
		return problem("users.create_url does not accept a POST: the answer is %d", status).
			breaks("new people get no user: Symbolon takes a 4xx for a denial, and records the finding cannot_create").
			fix("set users.create_url to the application's path for new users")
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status >= 500:
		return unknown("run it again when the application is healthy", "the application answers %d", status)
	}
	return well("the application answers at users.create_url, and refuses a POST without a signature (%d)", status)
}
