package access

import (
	"net/http"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	"github.com/symbolon-id/symbolon/session"
)

// Domain is the domain of each [Detail].
const Domain = "symbolon"

// Code is the gRPC code of a refusal. Connect has the same codes with the same numbers.
func Code(err error) codes.Code {
	switch {
	case session.RefusalOf(err).Status == http.StatusUnauthorized:
		return codes.Unauthenticated
	case session.Denied(err):
		return codes.PermissionDenied
	}
	return codes.Unavailable
}

// Detail is the part of a refusal that programs read. Its reason is the code of the refusal
// (unauthenticated, aal2_required, …). If a browser can solve the problem at Ory, metadata
// has the address as redirect_browser_to.
func Detail(r session.Refusal) *errdetails.ErrorInfo {
	info := &errdetails.ErrorInfo{Reason: r.Code, Domain: Domain}
	if r.Redirect != "" {
		info.Metadata = map[string]string{"redirect_browser_to": r.Redirect}
	}
	return info
}
