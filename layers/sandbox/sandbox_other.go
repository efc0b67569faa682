//go:build !linux

package sandbox

import "context"

// A Sandbox runs commands; there is none on this operating system.
type Sandbox struct{}

// Open returns ErrUnsupported.
func Open(context.Context, Options) (*Sandbox, error) { return nil, ErrUnsupported }

// Mode returns the mode in use.
func (*Sandbox) Mode() Mode { return "" }

// Trees names the set of unpacked trees that the sandbox can use.
func (*Sandbox) Trees() string { return "" }

// Owners says how ids are kept in trees.
func (*Sandbox) Owners() string { return "" }

// CanKeep says whether Command.Keep is possible.
func (*Sandbox) CanKeep() bool { return false }

// Run returns ErrUnsupported.
func (*Sandbox) Run(context.Context, Command) error { return ErrUnsupported }

// Call returns ErrUnsupported.
func (*Sandbox) Call(context.Context, Call) error { return ErrUnsupported }

// Close does nothing.
func (*Sandbox) Close() error { return nil }

// Main says that this process is not a sandbox's child.
func Main([]string, map[string]Verb) (code int, child bool) { return 0, false }

// Probe returns ErrUnsupported.
func Probe(context.Context, Options) (Report, error) { return Report{}, ErrUnsupported }
