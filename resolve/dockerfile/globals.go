package dockerfile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"github.com/kanso-build/kanso/resolve/plan"
)

const epochArg = "SOURCE_DATE_EPOCH"

// readGlobals sets the arguments that FROM may use: the predefined ones and
// those before the first FROM.
func (l *lowering) readGlobals(stages []instructions.Stage, metas []instructions.ArgCommand) error {
	target := l.o.Target
	if target == "" {
		target = stages[len(stages)-1].Name
	}
	predefined := l.predefined(target)
	if defaults, err := l.metaArgs(predefined, metas, nil); err == nil {
		l.lintBases(stages, defaults)
	}
	globals, err := l.metaArgs(predefined, metas, l.o.BuildArgs)
	if err != nil {
		return err
	}
	l.globals = globals
	l.declared = map[string]bool{}
	for _, c := range metas {
		for _, a := range c.Args {
			l.declared[a.Key] = true
		}
	}
	return l.readEpoch(stages)
}

// predefined are the arguments of platforms and the name of the target.
func (l *lowering) predefined(target string) vars {
	if target == "" {
		target = "default"
	}
	var out vars
	for _, a := range []plan.Var{
		{Name: "BUILDPLATFORM", Value: platforms.Format(l.build)},
		{Name: "BUILDOS", Value: l.build.OS},
		{Name: "BUILDOSVERSION", Value: l.build.OSVersion},
		{Name: "BUILDARCH", Value: l.build.Architecture},
		{Name: "BUILDVARIANT", Value: l.build.Variant},
		{Name: "TARGETPLATFORM", Value: platforms.FormatAll(l.target)},
		{Name: "TARGETOS", Value: l.target.OS},
		{Name: "TARGETOSVERSION", Value: l.target.OSVersion},
		{Name: "TARGETARCH", Value: l.target.Architecture},
		{Name: "TARGETVARIANT", Value: l.target.Variant},
		{Name: "TARGETSTAGE", Value: target},
	} {
		if v, ok := l.o.BuildArgs[a.Name]; ok {
			a.Value = v
		}
		out.set(a.Name, a.Value)
	}
	return out
}

// metaArgs adds the arguments before the first FROM, with the values that
// given has for them or else their defaults.
func (l *lowering) metaArgs(known vars, metas []instructions.ArgCommand, given map[string]string) (vars, error) {
	known = slices.Clone(known)
	for _, c := range metas {
		for _, a := range c.Args {
			value, ok := given[a.Key]
			if !ok && a.Value != nil {
				var err error
				if value, _, err = l.lex.ProcessWord(*a.Value, known); err != nil {
					return nil, place(err, c.Location())
				}
				ok = true
			}
			if ok {
				known.set(a.Key, value)
			}
		}
	}
	return known, nil
}

// readEpoch reads SOURCE_DATE_EPOCH, which is an argument like others and sets
// the times of the image. A context as its value is none: directories have no
// time of their own.
func (l *lowering) readEpoch(stages []instructions.Stage) error {
	text, given := l.o.BuildArgs[epochArg]
	if !given {
		if text, _ = l.globals.Get(epochArg); text == "" {
			return nil
		}
	}
	value := ""
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		l.epoch, value = &n, strconv.FormatInt(n, 10)
	} else if err := l.noEpoch(text, stages); err != nil {
		return err
	}
	l.o.BuildArgs = with(l.o.BuildArgs, epochArg, value, given)
	if _, ok := l.globals.Get(epochArg); ok {
		l.globals.unset(epochArg)
		if value != "" {
			l.globals.set(epochArg, value)
		}
	}
	return nil
}

// noEpoch is nil if text is a SOURCE_DATE_EPOCH that says nothing.
func (l *lowering) noEpoch(text string, stages []instructions.Stage) error {
	if text == "" || text == "context" {
		return nil
	}
	if _, ok := l.context(text, nil); ok {
		return nil
	}
	for _, s := range stages {
		if s.Name != "" && strings.EqualFold(s.Name, text) {
			return place(fmt.Errorf("%s=%s: the time of a stage's source is not supported, give it in seconds", epochArg, text), s.Location)
		}
	}
	return fmt.Errorf("invalid %s: %s, it is a number of seconds", epochArg, text)
}

// with is a copy of args with another value; an empty one takes the name away.
func with(args map[string]string, name, value string, given bool) map[string]string {
	if !given {
		return args
	}
	out := make(map[string]string, len(args))
	for k, v := range args {
		if k != name {
			out[k] = v
		}
	}
	if value != "" {
		out[name] = value
	}
	return out
}

// proxies are the names of the predefined proxy arguments; both spellings are
// set for a command if either is given.
func proxies() []string {
	return []string{"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"}
}

// stepEnv are the proxies that were given as build arguments.
func (l *lowering) stepEnv() map[string]string {
	var out map[string]string
	for _, name := range proxies() {
		value := ""
		for _, k := range sorted(l.o.BuildArgs) {
			if strings.EqualFold(k, name) {
				value = l.o.BuildArgs[k]
			}
		}
		if value == "" {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		out[name], out[strings.ToLower(name)] = value, value
	}
	return out
}
