package dockerfile

import (
	"slices"

	"github.com/kanso-build/kanso/resolve/plan"
)

// vars are variables in the order in which they were last set.
type vars []plan.Var

// Get implements shell.EnvGetter.
func (v vars) Get(name string) (string, bool) {
	for _, e := range v {
		if e.Name == name {
			return e.Value, true
		}
	}
	return "", false
}

// Keys implements shell.EnvGetter.
func (v vars) Keys() []string {
	names := make([]string, len(v))
	for i, e := range v {
		names[i] = e.Name
	}
	return names
}

// set gives a variable a value; it becomes the last one.
func (v *vars) set(name, value string) {
	v.unset(name)
	*v = append(*v, plan.Var{Name: name, Value: value})
}

func (v *vars) unset(name string) {
	if i := slices.IndexFunc(*v, func(e plan.Var) bool { return e.Name == name }); i >= 0 {
		*v = slices.Delete(*v, i, i+1)
	}
}

// replace gives a variable a value, as the configuration of an image has it: a
// name that is there keeps its place.
func (v *vars) replace(name, value string) {
	for i := range *v {
		if (*v)[i].Name == name {
			(*v)[i].Value = value
			return
		}
	}
	*v = append(*v, plan.Var{Name: name, Value: value})
}

// beside are those variables that image does not have, or with other values.
func (v vars) beside(image vars) []plan.Var {
	var out []plan.Var
	for _, e := range v {
		if value, ok := image.Get(e.Name); !ok || value != e.Value {
			out = append(out, e)
		}
	}
	return out
}
