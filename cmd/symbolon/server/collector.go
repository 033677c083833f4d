package server

import "runtime"

// roomForGarbage is memory that is never touched, so that it takes no memory of the machine.
const roomForGarbage = 16 << 20

// collectLess makes Go's collector run less often, until stop is called. The collector runs
// when the heap has doubled. A server with a heap of 2 MB would run it after each thousand
// requests for /auth, which costs a tenth of its time. The collector counts the room as part
// of the heap, so that it runs after 18 MB of garbage instead. GOGC and GOMEMLIMIT work as
// ever.
func collectLess() (stop func()) {
	room := make([]byte, roomForGarbage)
	return func() { runtime.KeepAlive(room) }
}
