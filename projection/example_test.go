package projection_test

import (
	"encoding/json"
	"fmt"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/projection"
)

// Each column of the application's row has an expression.
func Example() {
	columns, faults := projection.ParseAll(map[string]string{
		"email": "traits.email",
		"name":  "default(traits.name, 'anonymous')",
		"plan":  "'free'",
	})
	if len(faults) > 0 {
		fmt.Println(faults)
		return
	}
	ada := symbolon.Identity{Traits: json.RawMessage(`{"email":"ada@example.org"}`)}
	for _, column := range columns {
		fmt.Println(column.Column, "=", column.Value(ada).V)
	}
	// Output:
	// email = ada@example.org
	// name = anonymous
	// plan = free
}
