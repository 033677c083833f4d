package decide

import (
	"encoding/json"
	"fmt"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/mint"
)

// byReservedID makes the user with the ID that the reserve hook drew from the database, or made
// by a template, before the identity existed. The proof beside the ID says so. Anybody with Ory's admin API
// can copy both to another identity, so the proof never gives an identity a user that
// exists: if a user has or had the ID, the ID is a claim like any other.
func byReservedID(r symbolon.Reading, e symbolon.Evidence, p Policy, c claims) (symbolon.Plan, bool) {
	if !p.NewID.Proved() || e.Unusable != "" || !free(claimedAt(e, atMetadata)) || !isReserved(r.Identity, p, c) {
		return symbolon.Plan{}, false
	}
	user := c.metadata.User
	return symbolon.Plan{Action: symbolon.Create, User: user, Reserved: true, BackReference: string(user),
		Why: "the ID was reserved for it in " + c.metadata.Where}, true
}

// isReserved reports whether the identity carries the proof that its claimed ID was reserved by
// this project.
func isReserved(id symbolon.Identity, p Policy, c claims) bool {
	if c.metadata.User == "" || c.invited(c.metadata) {
		return false
	}
	var top map[string]json.RawMessage
	var proof string
	return json.Unmarshal(id.MetadataPublic, &top) == nil && json.Unmarshal(top[mint.ReservedKey(p.Key)], &proof) == nil &&
		p.Minter.Reserved(c.metadata.User, proof)
}

// free reports whether no user is known to have or to have had a claimed ID.
func free(known symbolon.Claimed) bool {
	return known.Row == nil && known.Linked == "" && !known.Retired
}

// unusable is the finding for a reserved ID that the store could not use. outcome is what was
// done instead.
func unusable(r symbolon.Reading, e symbolon.Evidence, c Claim, outcome string) symbolon.Finding {
	return finding(r, symbolon.ForeignBackReference, "",
		fmt.Sprintf("%s holds the reserved ID %s, which cannot be used: %s; %s", c.Where, c.User, e.Unusable, outcome))
}
