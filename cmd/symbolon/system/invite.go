package system

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon/link"
)

// NoReserveHook is the answer to the order of an invite that could have no effect.
const NoReserveHook = "an invite needs the reserve hook, which this configuration leaves out; set hooks.invites: true, and print the hooks again (symbolon actions print)"

var errLife = errors.New("the time must be 1s to 30d, such as 90m, 24h or 7d")

// ParseLife reads how long an invite is valid: a duration of Go, or a number of days such as
// 30d. Without a text it is link.DefaultInviteLife.
func ParseLife(text string) (time.Duration, error) {
	if text == "" {
		return link.DefaultInviteLife, nil
	}
	life, err := time.ParseDuration(text)
	if number, isDays := strings.CutSuffix(text, "d"); isDays {
		var days int
		days, err = strconv.Atoi(number)
		life = time.Duration(min(days, 1000)) * 24 * time.Hour
	}
	if err != nil || life < time.Second || life > link.MaxInviteLife {
		return 0, errLife
	}
	return life, nil
}
