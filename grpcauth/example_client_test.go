package grpcauth_test

import (
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
)

// reason returns the reason of an error for the client: unauthenticated, aal2_required, …
func reason(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == "symbolon" {
			return info.GetReason()
		}
	}
	return ""
}
