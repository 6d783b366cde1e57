// Go's goroutines, on two threads: the cases of ours.c that it has an answer to.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

var scale = 1.0

func sized(n int) int {
	if scaled := int(float64(n) * scale); scaled > 1 {
		return scaled
	}
	return 1
}

func report(name string, value float64, unit string) { fmt.Printf("%s %.5g %s\n", name, value, unit) }

func reportEach(name string, started time.Time, n int) {
	report(name, float64(time.Since(started).Nanoseconds())/float64(n), "ns")
}

// Each ran exactly once.
func expect(runs int64, n int) {
	if runs != int64(n) {
		fmt.Fprintf(os.Stderr, "%d tasks ran, not %d\n", runs, n)
		os.Exit(1)
	}
}

func empty() {
	n := sized(1000000)
	var started time.Time
	for round := 0; round < 2; round++ {
		var wait sync.WaitGroup
		var runs int64
		wait.Add(n)
		started = time.Now()
		for i := 0; i < n; i++ {
			go func() {
				atomic.AddInt64(&runs, 1)
				wait.Done()
			}()
		}
		wait.Wait()
		expect(runs, n)
	}
	reportEach("empty", started, n)
}

func spawnNext(left int, runs *int64, done chan<- bool) {
	*runs++
	if left > 1 {
		go spawnNext(left-1, runs, done)
	} else {
		done <- true
	}
}

func spawnChain() {
	n := sized(1000000)
	var runs int64
	done := make(chan bool)
	started := time.Now()
	go spawnNext(n, &runs, done)
	<-done
	reportEach("spawn_chain", started, n)
	expect(runs, n)
}

func spawnGet() {
	n := sized(1000000)
	var runs int64
	over := make(chan bool)
	started := time.Now()
	go func() {
		for i := 0; i < n; i++ {
			child := make(chan bool, 1)
			go func() {
				runs++
				child <- true
			}()
			<-child
		}
		over <- true
	}()
	<-over
	reportEach("spawn_get", started, n)
	expect(runs, n)
}

func memory() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

func waiters() {
	n := sized(100000)
	before := memory()
	gate := make(chan bool)
	var asleep, wait sync.WaitGroup
	var runs int64
	asleep.Add(n)
	wait.Add(n)
	for i := 0; i < n; i++ {
		go func() {
			asleep.Done()
			<-gate
			atomic.AddInt64(&runs, 1)
			wait.Done()
		}()
	}
	asleep.Wait()
	time.Sleep(10 * time.Millisecond)
	report("waiters_bytes", float64(memory()-before)/float64(n), "B")
	started := time.Now()
	close(gate)
	wait.Wait()
	reportEach("waiters", started, n)
	expect(runs, n)
}

func sleepers() {
	n := sized(10000)
	const spread = 100 * time.Millisecond
	late := make([]float64, n)
	var wait sync.WaitGroup
	wait.Add(n)
	begin := time.Now().Add(100 * time.Millisecond)
	for i := 0; i < n; i++ {
		go func(i int) {
			until := begin.Add(time.Duration(float64(i) / float64(n) * float64(spread)))
			time.Sleep(time.Until(until))
			late[i] = float64(time.Since(until).Nanoseconds()) / 1000
			wait.Done()
		}(i)
	}
	wait.Wait()
	sort.Float64s(late)
	report("sleepers_p50", late[n/2], "us")
	report("sleepers_p99", late[n*99/100], "us")
}

func main() {
	runtime.GOMAXPROCS(2)
	cases := map[string]func(){"empty": empty, "spawn_chain": spawnChain, "spawn_get": spawnGet, "waiters": waiters, "sleepers": sleepers}
	if len(os.Args) < 2 {
		return
	}
	if len(os.Args) > 2 {
		scale, _ = strconv.ParseFloat(os.Args[2], 64)
	}
	run, found := cases[os.Args[1]]
	if !found {
		os.Exit(3)
	}
	run()
}
