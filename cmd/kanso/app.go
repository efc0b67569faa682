package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kanso-build/kanso/layers/sandbox"
)

// An app is one run of the program.
type app struct {
	env    environ
	stdin  io.Reader
	stdout *redactWriter
	stderr *redactWriter
	raw    io.Writer // stderr as it is, for what masks for itself
	redact *redactor
	json   bool // errors are objects, too

	profile profileFlags
}

func newApp(env environ, stdin io.Reader, stdout, stderr io.Writer) *app {
	r := &redactor{}
	r.add(envSecrets(env)...)
	return &app{env: env, stdin: stdin, stdout: r.writer(stdout), stderr: r.writer(stderr), raw: stderr, redact: r}
}

// Exit statuses: of wrong command lines and of everything else that fails.
const (
	exitFailed = 1
	exitUsage  = 2
)

// A usageError is a command line that means nothing.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// A statusError is an exit status that somebody else has explained already.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// execute runs the verb that args name and returns the exit status.
func (a *app) execute(ctx context.Context, args []string) int {
	root := a.root() //nolint:contextcheck // the verbs have that of ExecuteContext
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	err = errors.Join(err, a.profile.stop())
	code := a.explain(ctx, err)
	if ferr := errors.Join(a.stdout.flush(), a.stderr.flush()); ferr != nil && code == 0 {
		fmt.Fprintf(a.raw, "kanso: %v\n", ferr)
		return exitFailed
	}
	return code
}

// explain says on stderr what went wrong, and returns the exit status.
func (a *app) explain(ctx context.Context, err error) int {
	var status statusError
	switch s := signalled(ctx); {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	case s != 0:
		a.fail(context.Cause(ctx), "", "")
		return 128 + int(s)
	}
	tail := ""
	if e := (*sandbox.ExitError)(nil); errors.As(err, &e) {
		tail = strings.TrimRight(e.Tail, "\n")
	}
	a.fail(err, tail, hint(err))
	if errors.As(err, &usageError{}) {
		return exitUsage
	}
	return exitFailed
}

// fail writes an error with the last lines of the command that failed and what
// can be done.
func (a *app) fail(err error, tail, hint string) {
	if a.json {
		_ = writeEvent(a.stderr, event{Event: "error", Message: err.Error(), Tail: tail, Hint: hint})
		return
	}
	if tail != "" {
		fmt.Fprintf(a.stderr, "  | %s\n", strings.ReplaceAll(tail, "\n", "\n  | "))
	}
	fmt.Fprintf(a.stderr, "kanso: %v\n", err)
	if hint != "" {
		fmt.Fprintf(a.stderr, "hint: %s\n", hint)
	}
}

// warn writes warnings.
func (a *app) warn(warnings ...string) {
	for _, w := range warnings {
		if a.json {
			_ = writeEvent(a.stderr, event{Event: "warning", Message: w})
			continue
		}
		fmt.Fprintf(a.stderr, "warning: %s\n", w)
	}
}

// root is the command that the verbs belong to.
func (a *app) root() *cobra.Command {
	c := &cobra.Command{
		Use:           "kanso",
		Short:         "Build container images of ZenML pipelines without Docker",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			if s := c.SuggestionsFor(args[0]); len(s) > 0 {
				return usagef("no verb %q; did you mean %s?", args[0], s[0])
			}
			return usagef("no verb %q; see kanso --help", args[0])
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.SuggestionsMinimumDistance = 2
	a.profile.add(c.PersistentFlags())
	c.PersistentPreRunE = func(*cobra.Command, []string) error { return a.profile.start() }
	c.SetIn(a.stdin)
	c.SetOut(a.stdout)
	c.SetErr(a.stderr)
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	c.AddCommand(a.buildVerb(), a.planVerb(), a.filesVerb(), a.doctorVerb(), a.runVerb(), a.verifyVerb(), a.registryVerb(), a.cacheVerb(), a.versionVerb())
	return c
}

// atMost is a check that there are no more than n arguments.
func atMost(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) <= n {
			return nil
		}
		if n == 0 {
			return usagef("kanso %s takes no argument: %q", c.Name(), args[0])
		}
		return usagef("kanso %s takes one %s, not %d", c.Name(), what, len(args))
	}
}
