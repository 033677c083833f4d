package access

import (
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/symbolon-id/symbolon/session"
)

// Domain is that of the details of errors.
const Domain = "symbolon"

// Detail is what a program reads of a refusal: the code of the one error shape as
// reason (unauthenticated, aal2_required, …), and in metadata, where Ory says where a
// browser can do what is missing, redirect_browser_to.
func Detail(r session.Refusal) *errdetails.ErrorInfo {
	info := &errdetails.ErrorInfo{Reason: r.Code, Domain: Domain}
	if r.Redirect != "" {
		info.Metadata = map[string]string{"redirect_browser_to": r.Redirect}
	}
	return info
}
