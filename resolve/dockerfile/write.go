package dockerfile

import (
	"maps"

	"github.com/kanso-build/kanso/resolve/plan"
)

// write makes the plan of the stages that the target needs. That an instruction
// names a stage does not make it needed: a stage that a named context stands for
// has none.
func (l *lowering) write(target *state) {
	needed := map[*state]bool{}
	referred := map[string]bool{}
	byName := map[string]*state{}
	for _, s := range l.states {
		if !s.foreign {
			byName[s.name] = s
		}
	}
	var need func(s *state)
	need = func(s *state) {
		if needed[s] {
			return
		}
		needed[s] = true
		if s.base != nil {
			referred[s.base.name] = true
			need(s.base)
		}
		for _, name := range stagesOf(s.steps) {
			referred[name] = true
			need(byName[name])
		}
	}
	need(target)
	for _, s := range l.states {
		if !needed[s] {
			continue
		}
		out := l.stage(s)
		if referred[s.name] {
			out.Name = s.name
		}
		if s == target && len(l.o.Labels) > 0 {
			out.Steps = append(out.Steps, plan.Set{Labels: maps.Clone(l.o.Labels)})
			out.Lines = append(out.Lines, "")
		}
		l.plan.Stages = append(l.plan.Stages, out)
	}
}

// stage is a state as a plan has it.
func (l *lowering) stage(s *state) plan.Stage {
	if s.from != nil { // a context that stands for a stage can be a base, too
		d := &stepper{lowering: l, s: s}
		d.at(s.Location)
		d.enter()
		if s.onBuild {
			d.emit(plan.Set{DropOnBuild: true})
		}
	}
	out := plan.Stage{Steps: s.steps, Lines: s.lines}
	switch {
	case s.base != nil:
		out.BaseStage = s.base.name
	case s.begin.Image == "":
		out.Base = scratch
	default:
		out.Base = s.begin.Image
	}
	if s.base == nil {
		out.Platform = l.platformOf(s)
	}
	return out
}

// stagesOf are the names of the stages that steps have files of.
func stagesOf(steps []plan.Step) []string {
	var names []string
	for _, step := range steps {
		switch step := step.(type) {
		case plan.Copy:
			names = append(names, step.From.Stage)
		case plan.Run:
			for _, m := range step.Mounts {
				names = append(names, m.From.Stage)
			}
		}
	}
	out := names[:0]
	for _, n := range names {
		if n != "" {
			out = append(out, n)
		}
	}
	return out
}
