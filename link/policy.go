package link

import "github.com/symbolon-id/symbolon/decide"

// OnUserDeleted says what an identity gets if the row of its user is missing.
type OnUserDeleted string

const (
	DenyDeleted     OnUserDeleted = "deny"     // ErrUserGone. The default
	RecreateDeleted OnUserDeleted = "recreate" // a new user with a new ID
)

// OnReturn says what somebody gets who comes back with a new identity, after the former
// identity was proved gone. See [decide.OnReturn].
type OnReturn = decide.OnReturn

const (
	ReturnNew     = decide.ReturnNew     // a new user. The default
	ReturnRestore = decide.ReturnRestore // the former user, if Ory verified the same address then and now
	ReturnAsk     = decide.ReturnAsk     // no user until the operator decides
)
