package mint_test

import (
	"fmt"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/mint"
)

// An ID proves who minted it, without a table of IDs.
func ExampleMinter() {
	secret := symbolon.Secret("k2J8vQ0zR5tXw9LmB4nYc7HdF1sGpA6e") // openssl rand -base64 32
	minter := mint.NewMinter("default", secret)
	id := minter.Mint(timeOfTheExample)
	fmt.Println(len(id), minter.Minted(id), minter.Minted("019ab1f2-7c00-7000-8000-000000000000"))
	// Output: 36 true false
}

var timeOfTheExample = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
