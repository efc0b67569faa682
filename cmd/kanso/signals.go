package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// A signalError is why the context of the program was cancelled.
type signalError struct{ signal syscall.Signal }

func (e signalError) Error() string {
	if e.signal == syscall.SIGINT {
		return "interrupted"
	}
	return e.signal.String()
}

// withSignals returns a context that SIGINT and SIGTERM cancel. A second one
// ends the program at once: the sandbox's processes end with it.
func withSignals() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	got := make(chan os.Signal, 2)
	signal.Notify(got, os.Interrupt, syscall.SIGTERM)
	go func() {
		s, ok := (<-got).(syscall.Signal)
		if !ok {
			return
		}
		cancel(signalError{s})
		<-got
		os.Exit(128 + int(s))
	}()
	return ctx, func() {
		signal.Stop(got)
		cancel(nil)
	}
}

// signalled returns the signal that cancelled the context, 0 if none did.
func signalled(ctx context.Context) syscall.Signal {
	var e signalError
	if errors.As(context.Cause(ctx), &e) {
		return e.signal
	}
	return 0
}
