package decide

import (
	"time"

	"github.com/symbolon-id/symbolon"
)

var (
	testNow = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	newKey  = symbolon.Secret("c41e9b07d5f2836a0e7d4c1b9f385a62")
)
