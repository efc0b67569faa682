// Command kanso assembles container images for ZenML pipelines without a
// container daemon and without root.
//
// It reads the command line and the environment, hands what it finds to the
// packages that decide and do, and says what came of it: results on stdout,
// everything else on stderr, redacted. It decides nothing about images itself.
package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"

	"github.com/kanso-build/kanso/layers/sandbox"
)

func main() {
	collectEarly()
	if code, child := sandbox.Main(os.Args, verbs()); child {
		os.Exit(code)
	}
	os.Exit(kanso())
}

// then is how much the heap may grow before garbage is collected, in percent.
const then = 25

// collectEarly collects often, unless the environment says otherwise: little of
// what a build holds grows, so that it is cheap, and the peak is the same for
// small and large contexts.
func collectEarly() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(then)
	}
}

// kanso is the program without the sandbox's side of it.
func kanso() int {
	if os.Getenv("GOGC") == "" {
		collectLate()
	}
	ctx, stop := withSignals()
	defer stop()
	a := newApp(hostEnv(), os.Stdin, os.Stdout, os.Stderr)
	return a.execute(ctx, os.Args[1:])
}

// few is a heap, in bytes, that is not worth collecting: a build that changes one
// file never has more.
const few = 16 << 20

// collectLate collects garbage when the heap has grown to few bytes, however little
// of it lives, and from then on as collectEarly says.
func collectLate() {
	debug.SetGCPercent(few / (4 << 20) * 100) // of the 4 MiB that are taken to live before the first collection
	runtime.AddCleanup(new(*int), func(int) { collectAt(liveHeap()) }, 0)
}

// collectAt says when to collect next, after each collection: live is what was left.
func collectAt(live uint64) {
	percent := then
	if live > 0 && live < few {
		percent = max(then, int((few-live)*100/live))
	}
	debug.SetGCPercent(percent)
	runtime.AddCleanup(new(*int), func(int) { collectAt(liveHeap()) }, 0)
}

// liveHeap is how many bytes the last collection left.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
