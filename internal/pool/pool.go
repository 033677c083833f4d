// Package pool makes many calls in a few goroutines.
package pool

import "sync"

// Each calls f for 0 to n-1 in at most workers goroutines, and waits for all calls.
func Each(n, workers int, f func(i int)) {
	work := make(chan int)
	var wg sync.WaitGroup
	for range min(workers, n) {
		wg.Go(func() {
			for i := range work {
				f(i)
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	wg.Wait()
}
