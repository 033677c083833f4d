package ory

import (
	"bytes"
	"fmt"
	"testing"
)

// BenchmarkPage decodes a page of 500 identities as Kratos writes them.
func BenchmarkPage(b *testing.B) {
	doc := kratosPage(500)
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if got, err := identities(doc); err != nil || len(got) != 500 {
			b.Fatal(err)
		}
	}
}

func kratosPage(n int) []byte {
	var b bytes.Buffer
	b.WriteByte('[')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":"9f425a8d-7efc-4768-8f23-%012x","schema_id":"default","schema_url":"http://127.0.0.1:4433/schemas/ZGVmYXVsdA",`+
			`"state":"active","state_changed_at":"2026-11-25T09:36:17.123456Z","traits":{"email":"person-%06d@example.org","name":"Person Number %d"},`+
			`"verifiable_addresses":[{"id":"8f425a8d-7efc-4768-8f23-%012x","value":"person-%06d@example.org","verified":false,"via":"email","status":"pending","created_at":"2026-11-25T09:36:17.123456Z","updated_at":"2026-11-25T09:36:17.123456Z"}],`+
			`"recovery_addresses":[{"id":"7f425a8d-7efc-4768-8f23-%012x","value":"person-%06d@example.org","via":"email","created_at":"2026-11-25T09:36:17.123456Z","updated_at":"2026-11-25T09:36:17.123456Z"}],`+
			`"metadata_public":null,"metadata_admin":null,"created_at":"2026-11-25T09:36:17.123456Z","updated_at":"2026-11-25T09:36:17.123456Z","organization_id":null}`,
			i, i, i, i, i, i, i)
	}
	b.WriteByte(']')
	return b.Bytes()
}
