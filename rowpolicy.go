package symbolon

// RowPolicy says what becomes of a user's row when its identity is gone for good.
type RowPolicy string

const (
	// KeepRow leaves the row as it is, but for the columns that are to be released.
	KeepRow RowPolicy = "keep"

	// DeactivateRow sets the column that is filled from "active" to false and
	// releases what is to be released. The default.
	DeactivateRow RowPolicy = "deactivate"

	// AnonymiseRow empties the columns that hold the person's data, and the identity
	// column; the row stays for whatever refers to it. Its ID is retired.
	AnonymiseRow RowPolicy = "anonymise"

	// DeleteRow deletes the row. Its ID is retired.
	DeleteRow RowPolicy = "delete"
)

// Ends reports whether the policy ends the user: its data is gone and its ID retired.
func (p RowPolicy) Ends() bool { return p == AnonymiseRow || p == DeleteRow }
