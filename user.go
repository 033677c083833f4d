package symbolon

import (
	"fmt"
	"strconv"

	"github.com/symbolon-id/symbolon/internal/uuid"
)

// UserID is the primary key of one of the application's users, as text. The application
// chooses its form; see [UserID.Int64] and [UserID.UUID].
type UserID string

// Int64 returns the ID of a user in a table with an integer or bigint key. A form other
// than the canonical decimal one, such as "042" or "+42", is an error.
func (id UserID) Int64() (int64, error) {
	n, err := strconv.ParseInt(string(id), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("user ID %q is not an integer", string(id))
	}
	if strconv.FormatInt(n, 10) != string(id) {
		return 0, fmt.Errorf("user ID %q is not in canonical decimal form", string(id))
	}
	return n, nil
}

// UUID returns the ID of a user in a table with a uuid key.
func (id UserID) UUID() ([16]byte, error) {
	u, err := uuid.Parse(string(id))
	if err != nil {
		return u, fmt.Errorf("user ID: %w", err)
	}
	return u, nil
}

// UserIDFromUUID returns the ID of a user in a table with a uuid key, in canonical form.
func UserIDFromUUID(u [16]byte) UserID { return UserID(uuid.Format(u)) }

// User is the application's half of a person.
type User struct {
	ID       UserID
	Identity IdentityID
}
