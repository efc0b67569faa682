package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"runtime/trace"

	"github.com/spf13/pflag"
)

// profileFlags say where measurements of the program itself go.
type profileFlags struct {
	cpu, mem, trace string

	open []*os.File
}

// add adds the flags, which every verb has and no help names.
func (p *profileFlags) add(f *pflag.FlagSet) {
	f.StringVar(&p.cpu, "cpuprofile", "", "write a CPU profile to `FILE`, for go tool pprof")
	f.StringVar(&p.mem, "memprofile", "", "write a profile of the memory in use at the end to `FILE`, for go tool pprof")
	f.StringVar(&p.trace, "trace", "", "write a trace to `FILE`, for go tool trace")
	for _, name := range []string{"cpuprofile", "memprofile", "trace"} {
		_ = f.MarkHidden(name) // it exists
	}
}

// start begins to measure what flags ask for.
func (p *profileFlags) start() error {
	for _, m := range []struct {
		flag, file string
		begin      func(*os.File) error
	}{
		{"--cpuprofile", p.cpu, func(f *os.File) error { return pprof.StartCPUProfile(f) }},
		{"--memprofile", p.mem, func(*os.File) error { return nil }},
		{"--trace", p.trace, func(f *os.File) error { return trace.Start(f) }},
	} {
		if m.file == "" {
			p.open = append(p.open, nil)
			continue
		}
		f, err := os.Create(m.file)
		if err != nil {
			return fmt.Errorf("%s: %w", m.flag, err)
		}
		p.open = append(p.open, f)
		if err := m.begin(f); err != nil {
			return fmt.Errorf("%s: %w", m.flag, err)
		}
	}
	return nil
}

// stop ends the measurements and writes them down. It may be called without
// start.
func (p *profileFlags) stop() error {
	if p.cpu != "" {
		pprof.StopCPUProfile()
	}
	if p.trace != "" {
		trace.Stop()
	}
	var errs []error
	for i, f := range p.open {
		if f == nil {
			continue
		}
		if i == 1 {
			runtime.GC() // so that what is in use is told from what is not
			errs = append(errs, pprof.WriteHeapProfile(f))
		}
		errs = append(errs, f.Close())
	}
	p.open = nil
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("write profile: %w", err)
	}
	return nil
}
