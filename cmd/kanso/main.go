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

// collectLate begins to do so when the heap has some 20 MB, which a build that
// does nothing never has.
func collectLate() {
	const first = 500 // of the 4 MB that are taken to live before the first collection
	debug.SetGCPercent(first)
	runtime.AddCleanup(new(*int), func(percent int) { debug.SetGCPercent(percent) }, then)
}
