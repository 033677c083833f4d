package server

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"time"
)

// sizes are a server's goroutines, and its memory in bytes.
//
// The resident memory says little about leaks: Go's collector lets 18 MB of garbage gather
// (server.collectLess) and returns memory to the system only slowly, and the pages of the
// program's file count too. So the heap that is in use is compared, and what is not Go's, such
// as the memory of SQLite.
type sizes struct {
	goroutines, series         int
	resident, inUse, outsideGo int
}

func (s sizes) String() string {
	return fmt.Sprintf("%d goroutines, %d MB resident, %.1f MB of the heap in use, %d MB outside of Go, %d series",
		s.goroutines, s.resident>>20, float64(s.inUse)/(1<<20), s.outsideGo>>20, s.series)
}

// roomForGarbage is the memory that the server's collector counts as part of the heap, and that
// is never touched.
const roomForGarbage = 16 << 20

// sizes reads the sizes of a server. The collector runs next at twice what its last run found in
// use. An idle server's collector runs every two minutes.
func (b *battered) sizes(p *process) (s sizes) {
	b.t.Helper()
	m := b.metrics(p)
	s.goroutines, s.series = int(m["go_goroutines"]), len(m)
	s.inUse = int(m["go_memstats_next_gc_bytes"])/2 - roomForGarbage
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.child.Load().PID()))
	if err != nil {
		b.t.Fatal(err)
	}
	ofStatus := func(name string) int {
		found := regexp.MustCompile(name + `:\s+(\d+)`).FindSubmatch(status)
		if found == nil {
			b.t.Fatalf("no %s in %s", name, status)
		}
		kB, _ := strconv.Atoi(string(found[1]))
		return kB << 10
	}
	s.resident = ofStatus("VmRSS")
	s.outsideGo = ofStatus("RssAnon") - int(m["go_memstats_sys_bytes"]-m["go_memstats_heap_released_bytes"]) + roomForGarbage
	return s
}

func (b *battered) noteSizes() {
	b.started = nil
	for _, p := range b.servers {
		b.started = append(b.started, b.sizes(p))
	}
}

// checkSizes checks that the goroutines of each server end, and that its memory does not grow by
// more than its caches, which hold a few thousand sessions of 1.5 kB, and the statements that its
// connections have prepared. SQLite has up to 2 MB for each of at most eleven connections.
func (b *battered) checkSizes() {
	b.t.Helper()
	const inUse, outsideGo, resident, series = 16 << 20, 24 << 20, 64 << 20, 2000
	b.client.CloseIdleConnections()
	http.DefaultClient.CloseIdleConnections()
	for i, p := range b.servers {
		var now sizes
		began := b.started[i]
		for end := time.Now().Add(150 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			if now = b.sizes(p); now.goroutines <= began.goroutines+10 && now.inUse <= began.inUse+inUse || time.Now().After(end) {
				break
			}
		}
		b.t.Logf("server %d at the start: %v", i, began)
		b.t.Logf("server %d at the end: %v", i, now)
		if now.goroutines > began.goroutines+10 || now.inUse > began.inUse+inUse || now.outsideGo > began.outsideGo+outsideGo ||
			now.resident > began.resident+resident || now.series > series {
			b.t.Error("they are not back to the start")
		}
	}
}
