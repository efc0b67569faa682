// Command kanso assembles container images for ZenML pipelines without a
// container daemon and without root.
//
// It reads the command line and the environment, hands what it finds to the
// packages that decide and do, and says what came of it: results on stdout,
// everything else on stderr, redacted. It decides nothing about images itself.
package main

import (
	"os"
	"runtime/debug"

	"github.com/kanso-build/kanso/layers/sandbox"
)

func main() {
	if code, child := sandbox.Main(os.Args, verbs()); child {
		os.Exit(code)
	}
	os.Exit(kanso())
}

// kanso is the program without the sandbox's side of it.
func kanso() int {
	if os.Getenv("GOGC") == "" {
		// Little of what a build holds grows, so that collecting early is cheap,
		// and the peak is the same for small and large contexts.
		debug.SetGCPercent(40)
	}
	ctx, stop := withSignals()
	defer stop()
	a := newApp(hostEnv(), os.Stdin, os.Stdout, os.Stderr)
	return a.execute(ctx, os.Args[1:])
}
