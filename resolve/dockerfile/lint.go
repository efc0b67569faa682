package dockerfile

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/moby/buildkit/util/suggest"
	"github.com/moby/patternmatcher"

	"github.com/containerd/platforms"
)

// newLinter makes a linter of what "# check=" says, or the build argument that
// stands for it.
func (l *lowering) newLinter(text []byte) error {
	options, _, at, _ := parser.ParseDirective("check", text)
	if given, ok := l.o.BuildArgs["BUILDKIT_DOCKERFILE_CHECK"]; ok {
		options, at = given, nil
	}
	config, err := linter.ParseLintOptions(options)
	if err != nil {
		return place(fmt.Errorf("check options: %w", err), at)
	}
	config.Warn = func(rule, _, _, message string, at []parser.Range) {
		l.warnings = append(l.warnings, Warning{Line: first(at), Rule: rule, Text: message})
	}
	l.lint = linter.New(config)
	return nil
}

// lintError is an error if "check=error=true" makes one of warnings.
func (l *lowering) lintError() error {
	if !l.lint.ReturnAsError || len(*l.lint.CalledRules) == 0 {
		return nil
	}
	for _, w := range l.warned() {
		if w.Rule != "" {
			err := fmt.Errorf("%s: %s", w.Rule, w.Text)
			return place(err, []parser.Range{{Start: parser.Position{Line: w.Line}}})
		}
	}
	return nil
}

// warned are the warnings in order.
func (l *lowering) warned() []Warning {
	slices.SortStableFunc(l.warnings, func(a, b Warning) int {
		return cmp.Or(a.Line-b.Line, strings.Compare(a.Rule, b.Rule), strings.Compare(a.Text, b.Text))
	})
	return slices.Compact(l.warnings)
}

// warnOfArgs warns of build arguments that other programs act on.
func (l *lowering) warnOfArgs() {
	for _, name := range []string{"BUILDKIT_SYNTAX", "BUILDKIT_SANDBOX_HOSTNAME", "BUILDKIT_MULTI_PLATFORM", "BUILDKIT_INLINE_CACHE"} {
		if _, ok := l.o.BuildArgs[name]; ok {
			l.warnings = append(l.warnings, Warning{Text: "build argument " + name + " has no effect"})
		}
	}
}

// warnOfSyntax warns of a front end that is not Docker's own: none is run.
func (l *lowering) warnOfSyntax(text []byte) {
	frontend, _, at, ok := parser.DetectSyntax(text)
	if !ok {
		return
	}
	if name, known := familiar(frontend); known && (strings.HasPrefix(name, "docker/dockerfile") || strings.HasPrefix(name, "dockerfile")) {
		return
	}
	l.warnings = append(l.warnings, Warning{Line: first(at), Text: "syntax " + frontend + " is not run, the file is read as a Dockerfile"})
}

// lintParsed reports what the parser found.
func (l *lowering) lintParsed(read *parser.Result) {
	rule := &linter.RuleNoEmptyContinuation
	for _, w := range read.Warnings {
		switch {
		case w.Location == nil:
			l.warnings = append(l.warnings, Warning{Text: w.Short})
		case w.URL == rule.URL:
			l.lint.Run(rule, []parser.Range{*w.Location}, rule.Format())
		default:
			l.warnings = append(l.warnings, Warning{Line: w.Location.Start.Line, Text: w.Short})
		}
	}
}

// lintStages looks at the names of stages and at upper and lower case.
func (l *lowering) lintStages(stages []instructions.Stage) {
	seen := map[string]bool{}
	lower, upper := 0, 0
	count := func(word string) {
		switch word {
		case strings.ToLower(word):
			lower++
		case strings.ToUpper(word):
			upper++
		}
	}
	for _, s := range stages {
		if s.Name == scratch || s.Name == "context" {
			l.lint.Run(&linter.RuleReservedStageName, s.Location, linter.RuleReservedStageName.Format(s.Name))
		}
		if s.Name != "" && seen[s.Name] {
			l.lint.Run(&linter.RuleDuplicateStageName, s.Location, linter.RuleDuplicateStageName.Format(s.Name))
		}
		seen[s.Name] = true
		count(s.OrigCmd)
		for _, c := range s.Commands {
			count(c.Name())
		}
	}
	for _, s := range stages {
		l.lintCase(s.OrigCmd, lower > upper, s.Location)
		for _, c := range s.Commands {
			l.lintCase(c.Name(), lower > upper, c.Location())
		}
	}
}

func (l *lowering) lintCase(word string, lower bool, at []parser.Range) {
	want, name := strings.ToUpper(word), "uppercase"
	if lower {
		want, name = strings.ToLower(word), "lowercase"
	}
	if word != want {
		l.lint.Run(&linter.RuleConsistentInstructionCasing, at, linter.RuleConsistentInstructionCasing.Format(word, name))
	}
}

// lintBases looks at bases as they are without build arguments.
func (l *lowering) lintBases(stages []instructions.Stage, defaults vars) {
	for _, s := range stages {
		name, _, err := l.lex.ProcessWord(s.BaseName, defaults)
		if err != nil {
			return
		}
		if _, err := reference.ParseNormalizedNamed(name); err != nil {
			l.lint.Run(&linter.RuleInvalidDefaultArgInFrom, s.Location, linter.RuleInvalidDefaultArgInFrom.Format(s.BaseName))
		}
	}
}

// lintFromArgs looks for arguments of FROM that nothing declares.
func (l *lowering) lintFromArgs(unmatched map[string]struct{}, at []parser.Range, lint *linter.Linter) {
	known := append(l.globals.Keys(), sorted(l.declared)...)
	for _, name := range sorted(unmatched) {
		if slices.Contains(known, name) {
			continue
		}
		meant, _ := suggest.Search(name, known, true)
		lint.Run(&linter.RuleUndefinedArgInFrom, at, linter.RuleUndefinedArgInFrom.Format(name, meant))
	}
}

// lintPlatform looks at FROM --platform.
func (l *lowering) lintPlatform(s *state, match shell.ProcessWordResult, lint *linter.Linter) {
	if len(match.Matched) == 1 && len(match.Unmatched) == 0 {
		const name = "TARGETPLATFORM"
		value, _ := l.globals.Get(name)
		if _, ok := match.Matched[name]; ok && match.Result == value {
			lint.Run(&linter.RuleRedundantTargetPlatform, s.Location, linter.RuleRedundantTargetPlatform.Format(s.Platform))
		}
	}
	if len(match.Matched)+len(match.Unmatched) > 0 {
		return
	}
	p, err := platforms.Parse(match.Result)
	if err != nil || strings.Contains(s.Name, p.OS) || strings.Contains(s.Name, p.Architecture) {
		return
	}
	lint.Run(&linter.RuleFromPlatformFlagConstDisallowed, s.Location, linter.RuleFromPlatformFlagConstDisallowed.Format(match.Result))
}

// lintBase compares the platform of a base with the one that was asked for.
func (l *lowering) lintBase(s *state) {
	want := l.target
	if s.platform != nil {
		want = *s.platform
	}
	c := s.config
	if c.OS == "" || c.Architecture == "" || (s.platform == nil && !l.explicit) || (c.OS == want.OS && c.Architecture == want.Architecture) {
		return
	}
	got := platform{OS: c.OS, Architecture: c.Architecture, Variant: c.Variant}
	l.lint.Run(&linter.RuleInvalidBaseImagePlatform, s.Location, linter.RuleInvalidBaseImagePlatform.Format(s.BaseName, format(want), format(got)))
}

// lintUndefined looks for variables that nothing sets.
func (d *stepper) lintUndefined(c instructions.Command, unmatched map[string]struct{}) {
	rule := &linter.RuleUndefinedVar
	for _, name := range sorted(unmatched) {
		if slices.Contains(d.s.args, name) || hidden(name) {
			continue
		}
		meant, _ := suggest.Search(name, d.s.env.Keys(), true)
		d.lint.Run(rule, c.Location(), rule.Format(name, meant))
	}
}

// lintKeyValue looks for ENV and LABEL without "=".
func (d *stepper) lintKeyValue(c instructions.Command, e instructions.KeyValuePair) {
	if e.NoDelim {
		d.lint.Run(&linter.RuleLegacyKeyValueFormat, c.Location(), linter.RuleLegacyKeyValueFormat.Format(c.Name()))
	}
}

// lintSecret looks for names that secrets have.
func (d *stepper) lintSecret(instruction, name string, at []parser.Range) {
	secret := regexp.MustCompile(`(?i)(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)`)
	harmless := regexp.MustCompile(`(?i)(?:_|^)(?:public|file|version)(?:_|$)`)
	if secret.MatchString(name) && !harmless.MatchString(name) {
		d.lint.Run(&linter.RuleSecretsUsedInArgOrEnv, at, linter.RuleSecretsUsedInArgOrEnv.Format(instruction, name))
	}
}

// lintOnce looks for instructions of which the last one counts.
func (d *stepper) lintOnce(c instructions.Command, before **once) {
	if *before != nil {
		d.lint.Run(&linter.RuleMultipleInstructionsDisallowed, (*before).at, linter.RuleMultipleInstructionsDisallowed.Format(c.Name()))
	}
	*before = &once{at: c.Location()}
}

// lintIgnored looks for copies that an ignore file makes empty.
func (d *stepper) lintIgnored(c *copying, src string) {
	if c.foreign || len(d.o.Ignore) == 0 {
		return
	}
	m, err := patternmatcher.New(d.o.Ignore)
	if err != nil || m.Exclusions() {
		return
	}
	src = path.Clean(src)
	if src == "." || src == "/" {
		all := slices.ContainsFunc(m.Patterns(), func(p *patternmatcher.Pattern) bool {
			return slices.Contains([]string{"*", "**", "**/*"}, p.String())
		})
		if !all {
			return
		}
	}
	verb := "Copy"
	if c.add {
		verb = "Add"
	}
	if ignored, err := m.MatchesOrParentMatches(src); err == nil && ignored {
		d.lint.Run(&linter.RuleCopyIgnoredFile, c.at, linter.RuleCopyIgnoredFile.Format(verb, src))
	}
}
