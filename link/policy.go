package link

// OnUserDeleted says what happens when a linked user's row is missing.
type OnUserDeleted string

const (
	DenyDeleted     OnUserDeleted = "deny"     // its identity gets ErrUserGone. The default
	RecreateDeleted OnUserDeleted = "recreate" // its identity gets a new user with a new ID
)
