package link

import (
	"time"

	"github.com/symbolon-id/symbolon"
)

const (
	alice = symbolon.IdentityID("11111111-1111-4111-8111-111111111111")
	bob   = symbolon.IdentityID("22222222-2222-4222-8222-222222222222")
)

var (
	testNow = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	newKey  = symbolon.Secret("c41e9b07d5f2836a0e7d4c1b9f385a62")
)
