package system

import (
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/internal/answer"
	"github.com/symbolon-id/symbolon/link"
)

// OperatorTimeout is the longest time that an operator waits.
const OperatorTimeout = 20 * time.Second

// CheckBind refuses texts that a database cannot store or a log cannot show.
func CheckBind(user symbolon.UserID, why string) *answer.Problem {
	switch {
	case user == "" || len(user) > 255 || !cli.OneLine(string(user)):
		return answer.New(400, answer.InvalidRequest, "user_id must be the key of a user: text of 1 to 255 bytes.")
	case link.CheckWhy(why) != nil:
		return answer.New(400, answer.InvalidRequest, BadWhy)
	}
	return nil
}

// BadWhy is the answer to a reason that [link.CheckWhy] refuses.
const BadWhy = "why must be one line of at most 1000 bytes without an e-mail address, because it is kept forever: name the ticket, not the person."
