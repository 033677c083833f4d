package decide_test

import (
	"encoding/json"
	"fmt"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/decide"
)

// Ada's metadata claims Bob's user. She gets a user of her own, and the operator gets a
// finding.
func ExampleIdentity() {
	ada := symbolon.Reading{Identity: symbolon.Identity{
		ID:             "11111111-1111-4111-8111-111111111111",
		MetadataPublic: json.RawMessage(`{"id":"7"}`),
	}}
	const bob = "22222222-2222-4222-8222-222222222222"
	policy := decide.Policy{Key: "id", NewID: symbolon.ByDatabase}

	// The store answers for each ID that the metadata names.
	evidence := symbolon.Evidence{}
	for _, user := range decide.ClaimedUsers(ada.Identity, policy) {
		claimed := symbolon.Claimed{}
		if user == "7" {
			claimed.Row = &symbolon.Row{ID: user, Identity: bob}
		}
		evidence.Claims = append(evidence.Claims, claimed)
	}

	plan, question := decide.Identity(ada, evidence, policy)
	fmt.Println(question.None(), plan.Action)
	for _, finding := range plan.Findings {
		fmt.Println(finding.Kind)
	}
	// Output:
	// true create
	// claimed_by_other
}
