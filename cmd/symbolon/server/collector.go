package server

import "runtime"

// roomForGarbage is memory that is never touched, so that it is none of the machine's.
const roomForGarbage = 16 << 20

// collectLess has Go's collector run less often until the function that it returns is
// called. It runs when the heap has doubled: a server that holds 2 MB would run it after
// each thousand requests for /auth, and spend a tenth of its time so. It counts the room
// as held, and runs after 18 MB of garbage instead, or after as much as is held and that.
// GOGC and GOMEMLIMIT count as ever.
func collectLess() (stop func()) {
	room := make([]byte, roomForGarbage)
	return func() { runtime.KeepAlive(room) }
}
