package dockerfile

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"

	"github.com/kanso-build/kanso/resolve/plan"
)

// Options are what the command line says beside a Dockerfile.
type Options struct {
	// File is what positions are given in, "Dockerfile" if empty.
	File string
	// BuildArgs are the values of --build-arg.
	BuildArgs map[string]string
	// Target is the stage that is wanted; empty is the last one.
	Target string
	// Platform is the target platform, os/arch[/variant]; if it is empty bases
	// decide and the arguments say linux/amd64.
	Platform string
	// Build is the platform that the build runs on; empty is the target's.
	Build string
	// Labels are added to the image, after those of the file.
	Labels map[string]string
	// Contexts are further build contexts by name, mostly directories (Context
	// is set) and images (Image is set). They stand for stages and images of
	// the same name.
	Contexts map[string]plan.Source
	// Ignore are the patterns of the context's ignore file; they are only used
	// to warn of copies that they make empty.
	Ignore []string
	// Network, Hosts, Ulimits and ShmSize are the defaults of every Run, as in
	// [plan.Run]; Network may also be "default".
	Network string
	Hosts   []string
	Ulimits []plan.Ulimit
	ShmSize int64
}

// Config is what must be known of a base.
type Config struct {
	// Env in the order of the image's configuration.
	Env                       []plan.Var
	User, WorkingDir          string
	Shell, OnBuild            []string
	OS, Architecture, Variant string
}

// Bases tells of bases, several at a time. platform is empty if the base
// decides.
type Bases interface {
	Config(ctx context.Context, ref, platform string) (Config, error)
}

// A Warning is a finding of the parser or of a rule of Docker's linter.
type Warning struct {
	// Line counts from one; zero is the file as a whole.
	Line int
	// Rule is the name of the linter's rule; empty if it is none of its.
	Rule string
	// Text is for people.
	Text string
}

// Lowered is a Dockerfile as steps.
type Lowered struct {
	Plan plan.Plan
	// Warnings are sorted by line.
	Warnings []Warning
	// StepEnv holds the values of the names in [plan.Run.Env]: proxies, which
	// enter neither the plan nor a key.
	StepEnv map[string]string
	// Epoch is the value of SOURCE_DATE_EPOCH as a build argument, in seconds;
	// nil if there is none.
	Epoch *int64
}

// Lower reads a Dockerfile and says what BuildKit's front end would have done
// with it, as steps. Of its stages those are in the plan that the target needs.
// No file is read, and only the configurations of bases are asked for.
//
// Errors name file and line, see [Error]. What cannot be done is an error, too,
// and never left out.
func Lower(ctx context.Context, text []byte, o Options, bases Bases) (Lowered, error) {
	if o.File == "" {
		o.File = "Dockerfile"
	}
	src := source{file: o.File, lines: strings.Split(string(text), "\n")}
	if len(bytes.TrimSpace(text)) == 0 {
		return Lowered{}, fmt.Errorf("%s: the file is empty", o.File)
	}
	l := &lowering{o: o, src: src, bases: bases}
	if err := l.lower(ctx, text); err != nil {
		return Lowered{}, src.locate(err)
	}
	return Lowered{Plan: l.plan, Warnings: l.warned(), StepEnv: l.stepEnv(), Epoch: l.epoch}, nil
}

// A lowering is the work on one Dockerfile.
type lowering struct {
	o     Options
	src   source
	bases Bases

	warnings []Warning
	lint     *linter.Linter
	lex      *shell.Lex
	target   platform
	build    platform
	// explicit says that the target platform was asked for.
	explicit bool
	contexts map[string]plan.Source
	// globals are the arguments before the first FROM, with predefined ones.
	globals vars
	// declared are the names of those that the file has.
	declared map[string]bool
	epoch    *int64
	states   []*state
	names    map[string]*state
	plan     plan.Plan
}

func (l *lowering) lower(ctx context.Context, text []byte) error {
	if err := l.readPlatforms(); err != nil {
		return err
	}
	l.readContexts()
	l.warnOfArgs()
	l.warnOfSyntax(text)
	if err := l.newLinter(text); err != nil {
		return err
	}
	stages, metas, err := l.parse(text)
	if err != nil {
		return err
	}
	l.lintStages(stages)
	if err := l.readGlobals(stages, metas); err != nil {
		return err
	}
	if err := l.makeStates(stages); err != nil {
		return err
	}
	target, err := l.findTarget()
	if err != nil {
		return err
	}
	if err := l.connect(); err != nil {
		return err
	}
	reachable, err := l.resolve(ctx, target)
	if err != nil {
		return err
	}
	for _, s := range l.states {
		if !reachable[s] || s.dispatched {
			continue
		}
		if err := l.dispatchStage(s); err != nil {
			return err
		}
	}
	if err := l.lintError(); err != nil {
		return err
	}
	l.write(target)
	return nil
}

// parse has BuildKit's parser read the file.
func (l *lowering) parse(text []byte) (stages []instructions.Stage, metas []instructions.ArgCommand, err error) {
	read, err := parse(text)
	if err != nil {
		return nil, nil, err
	}
	l.lintParsed(read)
	stages, metas, err = parseInstructions(read.AST, l.lint)
	if err != nil {
		return nil, nil, err
	}
	if len(stages) == 0 {
		return nil, nil, fmt.Errorf("no FROM: the file makes no image")
	}
	l.lex = shell.NewLex(read.EscapeToken)
	return stages, metas, nil
}

// parse is BuildKit's parser, which is not known never to panic.
func parse(text []byte) (read *parser.Result, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("parser: %v", r)
		}
	}()
	return parser.Parse(bytes.NewReader(text))
}

// parseInstructions is like [parse].
func parseInstructions(ast *parser.Node, lint *linter.Linter) (stages []instructions.Stage, metas []instructions.ArgCommand, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("parser: %v", r)
		}
	}()
	return instructions.Parse(ast, lint)
}
