package dockerfile

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"

	"github.com/kanso-build/kanso/resolve/plan"
)

// set makes a Set of an instruction that changes the configuration only.
func (d *stepper) set(c instructions.Command) error {
	switch c := c.(type) {
	case *instructions.EnvCommand:
		d.setEnv(c)
	case *instructions.LabelCommand:
		d.setLabels(c)
	case *instructions.CmdCommand:
		d.setCmd(c)
	case *instructions.EntrypointCommand:
		d.setEntrypoint(c)
	case *instructions.HealthCheckCommand:
		d.setHealthcheck(c)
	case *instructions.ExposeCommand:
		return d.setPorts(c)
	case *instructions.VolumeCommand:
		if slices.Contains(c.Volumes, "") {
			return errors.New("VOLUME specified can not be an empty string")
		}
		d.emit(plan.Set{Volumes: slices.Clone(c.Volumes)})
	case *instructions.StopSignalCommand:
		if !isSignal(c.Signal) {
			return fmt.Errorf("invalid signal: %s", c.Signal)
		}
		d.emit(plan.Set{StopSignal: c.Signal})
	default:
		return d.setText(c)
	}
	return nil
}

// setText makes a Set of an instruction that stores its words.
func (d *stepper) setText(c instructions.Command) error {
	switch c := c.(type) {
	case *instructions.UserCommand:
		d.s.config.User = c.User
		if c.User == "" { // a plan cannot say that there is none, and this is what it means
			d.emit(plan.Set{User: "0"})
			return nil
		}
		d.emit(plan.Set{User: c.User})
	case *instructions.ShellCommand:
		d.s.config.Shell = c.Shell
		d.emit(plan.Set{Shell: c.Shell})
	case *instructions.OnbuildCommand:
		d.s.onBuild = true
		d.emit(plan.Set{OnBuild: []string{c.Expression}})
	case *instructions.MaintainerCommand:
		d.emit(plan.Set{Author: c.Maintainer})
	default:
		return fmt.Errorf("instruction %s is not supported", strings.ToUpper(c.Name()))
	}
	return nil
}

func (d *stepper) setEnv(c *instructions.EnvCommand) {
	var set plan.Set
	for _, e := range c.Env {
		d.lintKeyValue(c, e)
		d.lintSecret("ENV", e.Key, c.Location())
		d.s.env.set(e.Key, e.Value)
		(*vars)(&d.s.config.Env).replace(e.Key, e.Value)
		set.Env = append(set.Env, plan.Var{Name: e.Key, Value: e.Value})
	}
	d.emit(set)
}

func (d *stepper) setLabels(c *instructions.LabelCommand) {
	set := plan.Set{Labels: map[string]string{}}
	for _, e := range c.Labels {
		d.lintKeyValue(c, e)
		set.Labels[e.Key] = e.Value
	}
	d.emit(set)
}

// shell is the argv of a shell form.
func (d *stepper) shell(words []string) []string {
	shell := d.s.config.Shell
	if len(shell) == 0 {
		shell = []string{"/bin/sh", "-c"}
	}
	return append(slices.Clone(shell), strings.Join(words, " "))
}

// words are those of CMD and ENTRYPOINT, never nil.
func (d *stepper) words(c instructions.Command, line instructions.ShellDependantCmdLine) []string {
	if !line.PrependShell {
		return append([]string{}, line.CmdLine...)
	}
	if len(d.s.config.Shell) == 0 {
		d.lint.Run(&linter.RuleJSONArgsRecommended, c.Location(), linter.RuleJSONArgsRecommended.Format(c.Name()))
	}
	return d.shell(line.CmdLine)
}

func (d *stepper) setCmd(c *instructions.CmdCommand) {
	d.lintOnce(c, &d.s.cmd)
	d.s.cmdLine = d.words(c, c.ShellDependantCmdLine)
	escaped := true // BuildKit says so of every CMD
	d.emit(plan.Set{Cmd: d.s.cmdLine, ArgsEscaped: &escaped})
}

// setEntrypoint also clears the command, unless the same stage has set it.
func (d *stepper) setEntrypoint(c *instructions.EntrypointCommand) {
	d.lintOnce(c, &d.s.entry)
	set := plan.Set{Entrypoint: d.words(c, c.ShellDependantCmdLine)}
	if d.s.cmd != nil {
		set.Cmd = d.s.cmdLine
	}
	d.emit(set)
}

func (d *stepper) setHealthcheck(c *instructions.HealthCheckCommand) {
	d.lintOnce(c, &d.s.health)
	d.emit(plan.Set{Healthcheck: &plan.Healthcheck{
		Test: c.Health.Test, Interval: c.Health.Interval, Timeout: c.Health.Timeout,
		StartPeriod: c.Health.StartPeriod, StartInterval: c.Health.StartInterval, Retries: c.Health.Retries,
	}})
}

// isSignal says whether Linux has a signal of a name or number.
func isSignal(s string) bool {
	if n, err := strconv.Atoi(s); err == nil {
		return n != 0
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if slices.Contains(signals(), name) {
		return true
	}
	for _, realtime := range []struct {
		prefix string
		least  int
		most   int
	}{{"RTMIN+", 1, 15}, {"RTMAX-", 1, 14}} {
		n, ok := strings.CutPrefix(name, realtime.prefix)
		i, err := strconv.Atoi(n)
		if ok && err == nil && strconv.Itoa(i) == n && i >= realtime.least && i <= realtime.most {
			return true
		}
	}
	return false
}

// signals are the names that signal(7) has, and those of the real-time ones
// that have no number in their names.
func signals() []string {
	return strings.Fields(`ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT
		SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX`)
}
