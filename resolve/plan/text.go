package plan

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
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

// String is where files are from, as COPY --from, ADD and RUN --mount say it,
// without a password; empty for the build context.
func (s Source) String() string {
	for _, name := range []string{s.Stage, s.Image, s.Context, redact(s.URL), redact(s.Git)} {
		if name != "" {
			return name
		}
	}
	return ""
}

// redact hides the password of a URL.
func redact(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.User == nil {
		return s
	}
	return u.Redacted()
}

// String is the step as an instruction of a Dockerfile would say it, on one
// line, for people and for an image's history. It holds no secret.
func (c Copy) String() string {
	if len(c.Patterns) == 0 {
		s := fmt.Sprintf("COPY %d files to %s", len(c.Files), c.Dest)
		if c.Owner != "" {
			s += " as " + c.Owner
		}
		return s
	}
	w := words{"COPY"}
	remote := c.From.URL != "" || c.From.Git != ""
	if remote || c.Unpack != UnpackNo {
		w[0] = "ADD"
	} else {
		w.flag("from", c.From.String())
	}
	w.flag("chown", strings.TrimSuffix(c.Owner, ":"))
	w.flag("chmod", c.Chmod)
	w.flag("checksum", c.From.Checksum)
	w.set("keep-git-dir", c.From.KeepGit)
	w.set("link", c.Link)
	w.set("parents", c.Parents)
	w.set("unpack", c.Unpack == UnpackAll)
	for _, e := range c.Exclude {
		w.flag("exclude", e)
	}
	switch {
	case remote:
		w = append(w, c.From.String())
	case c.From.Inline != nil:
		for _, f := range c.From.Inline {
			w = append(w, "<<"+f.Path)
		}
	default:
		w = append(w, c.Patterns...)
	}
	return w.line(c.Dest)
}

// String is the step as people read it; see [Copy.String].
func (w Write) String() string {
	names := make([]string, len(w.Files))
	for i, f := range w.Files {
		names[i] = f.Path
	}
	word := "WRITE "
	if w.Missing {
		word = "WORKDIR "
	}
	return oneLine(word + strings.Join(names, " "))
}

// String is the step as people read it; see [Copy.String].
func (i Install) String() string { return "INSTALL " + quote(i.Command) }

// String is the step as people read it; see [Copy.String]. Values of build
// arguments are not in it.
func (r Run) String() string {
	w := words{"RUN"}
	for _, m := range r.Mounts {
		w.flag("mount", m.String())
	}
	if r.Network != "host" {
		w.flag("network", r.Network)
	}
	if len(r.Args) == 3 && r.Args[0] == "/bin/sh" && r.Args[1] == "-c" {
		return w.line(r.Args[2])
	}
	return w.line(quote(r.Args))
}

// String is the mount as RUN --mount says it.
func (m Mount) String() string {
	fields := []string{"type=" + string(m.Type)}
	add := func(name, value string) {
		if value != "" {
			fields = append(fields, name+"="+value)
		}
	}
	add("id", m.ID)
	add("from", m.From.String())
	add("source", m.Path)
	add("target", m.Target)
	add("sharing", string(m.Sharing))
	add("env", m.Env)
	if m.Size > 0 {
		add("size", strconv.FormatInt(m.Size, 10))
	}
	if m.Required {
		fields = append(fields, "required")
	}
	if m.ReadOnly != (m.Type != MountCache && m.Type != MountTmpfs) {
		fields = append(fields, map[bool]string{true: "ro", false: "rw"}[m.ReadOnly])
	}
	return strings.Join(fields, ",")
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
	if s.Shell != nil {
		add("SHELL", list(s.Shell))
	}
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
	add("EXPOSE", strings.Join(s.ExposedPorts, " "))
	if len(s.Volumes) > 0 {
		add("VOLUME", list(s.Volumes))
	}
	add("STOPSIGNAL", s.StopSignal)
	if s.Healthcheck != nil {
		parts = append(parts, s.Healthcheck.String())
	}
	if s.DropOnBuild {
		parts = append(parts, "ONBUILD (none)")
	}
	for _, o := range s.OnBuild {
		add("ONBUILD", o)
	}
	add("MAINTAINER", s.Author)
	return oneLine(strings.Join(parts, "; "))
}

// String is the check as HEALTHCHECK says it.
func (h Healthcheck) String() string {
	w := words{"HEALTHCHECK"}
	if h.Interval != 0 {
		w.flag("interval", h.Interval.String())
	}
	if h.Timeout != 0 {
		w.flag("timeout", h.Timeout.String())
	}
	if h.StartPeriod != 0 {
		w.flag("start-period", h.StartPeriod.String())
	}
	if h.StartInterval != 0 {
		w.flag("start-interval", h.StartInterval.String())
	}
	if h.Retries != 0 {
		w.flag("retries", strconv.Itoa(h.Retries))
	}
	switch {
	case slices.Equal(h.Test, []string{"NONE"}):
		return w.line("NONE")
	case len(h.Test) == 2 && h.Test[0] == "CMD-SHELL":
		return w.line("CMD " + h.Test[1])
	case len(h.Test) > 0:
		return w.line(h.Test[0] + " " + list(h.Test[1:]))
	}
	return w.line("CMD []")
}

// words are those of an instruction.
type words []string

func (w *words) flag(name, value string) {
	if value != "" {
		*w = append(*w, "--"+name+"="+value)
	}
}

func (w *words) set(name string, is bool) {
	if is {
		*w = append(*w, "--"+name)
	}
}

// line is the instruction with its last word.
func (w words) line(last string) string { return oneLine(strings.Join(append(w, last), " ")) }

// oneLine writes the ends of lines as \n, so that none is left.
func oneLine(s string) string {
	return strings.NewReplacer("\r\n", `\n`, "\n", `\n`, "\r", `\r`).Replace(s)
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
