package plan

import (
	"encoding/json"
	"fmt"
	"strings"
)

// MarshalJSON writes the stage with each step as an object whose "step" is its
// kind, the other keys being the fields of the step.
func (s Stage) MarshalJSON() ([]byte, error) {
	type bare Stage // without this method
	out := struct {
		bare
		Steps []json.RawMessage `json:"steps"`
	}{bare: bare(s), Steps: []json.RawMessage{}}
	for _, step := range s.Steps {
		fields, err := json.Marshal(step)
		if err != nil {
			return nil, fmt.Errorf("encode step %s: %w", step.Kind(), err)
		}
		head := fmt.Sprintf(`{"step":%q`, step.Kind())
		if string(fields) != "{}" {
			head += ","
		}
		out.Steps = append(out.Steps, append([]byte(head), fields[1:]...))
	}
	return json.Marshal(out)
}

// String is the step as an instruction of a Dockerfile would say it, on one
// line, for people and for an image's history. It holds no secret.
func (c Copy) String() string {
	s := fmt.Sprintf("COPY %d files to %s", len(c.Files), c.Dest)
	if c.Owner != "" {
		s += " as " + c.Owner
	}
	return s
}

// String is the step as people read it; see [Copy.String].
func (w Write) String() string {
	names := make([]string, len(w.Files))
	for i, f := range w.Files {
		names[i] = f.Path
	}
	return "WRITE " + strings.Join(names, " ")
}

// String is the step as people read it; see [Copy.String].
func (i Install) String() string { return "INSTALL " + quote(i.Command) }

// String is the step as people read it; see [Copy.String].
func (r Run) String() string {
	if len(r.Args) == 3 && r.Args[0] == "/bin/sh" && r.Args[1] == "-c" {
		return "RUN " + r.Args[2]
	}
	return "RUN " + quote(r.Args)
}

// String is the step as people read it; see [Copy.String].
func (s Set) String() string {
	var parts []string
	for _, v := range s.Env {
		parts = append(parts, "ENV "+v.Name+"="+v.Value)
	}
	add := func(word, value string) {
		if value != "" {
			parts = append(parts, word+" "+value)
		}
	}
	add("WORKDIR", s.WorkingDir)
	add("USER", s.User)
	if s.Entrypoint != nil {
		add("ENTRYPOINT", list(s.Entrypoint))
	}
	if s.Cmd != nil {
		add("CMD", list(s.Cmd))
	}
	if len(s.Labels) > 0 {
		b, _ := json.Marshal(s.Labels) // sorted by name; strings always encode
		add("LABEL", string(b))
	}
	return strings.Join(parts, "; ")
}

func list(words []string) string {
	b, _ := json.Marshal(words) // strings always encode
	return string(b)
}

func quote(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = w
		if w == "" || strings.ContainsAny(w, " \t\n'\"\\$`*?[]{}()<>|&;#~") {
			out[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(out, " ")
}
