package link

// OnUserDeleted says what an identity gets if the row of its user is missing.
type OnUserDeleted string

const (
	DenyDeleted     OnUserDeleted = "deny"     // ErrUserGone. The default
	RecreateDeleted OnUserDeleted = "recreate" // a new user with a new ID
)
