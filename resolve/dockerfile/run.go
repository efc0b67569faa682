package dockerfile

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/kanso-build/kanso/resolve/plan"
)

// run makes a step of a RUN.
func (d *stepper) run(c *instructions.RunCommand, sources []*state) error {
	if slices.Contains(c.FlagsUsed, "device") {
		return errors.New("RUN --device is not supported: no device of the host is given to a build")
	}
	if instructions.GetSecurity(c) != instructions.SecuritySandbox {
		return errors.New("RUN --security=insecure is not supported: commands run without privileges")
	}
	r := plan.Run{
		Network: network(instructions.GetNetwork(c), d.o.Network),
		Hosts:   slices.Clone(d.o.Hosts), Ulimits: slices.Clone(d.o.Ulimits), ShmSize: d.o.ShmSize,
		Vars: d.s.env.beside(d.s.config.Env), Env: sorted(d.stepEnv()),
	}
	args, lent, err := heredoc(c)
	if err != nil {
		return err
	}
	r.Args, r.Lent = args, lent
	if c.PrependShell {
		r.Args = d.shell(args)
	}
	if len(r.Args) == 0 {
		return errors.New("RUN [] has no command")
	}
	if err := d.mounts(&r, c, sources); err != nil {
		return err
	}
	d.emit(r)
	return nil
}

// network is what --network says, or else the default of the build.
func network(own, build string) string {
	if own == instructions.NetworkDefault {
		own = build
	}
	if own == instructions.NetworkDefault {
		return ""
	}
	return own
}

// heredoc is the command of a RUN, whose here-documents are its text, a script
// that it is lent, or a part of what its shell reads.
func heredoc(c *instructions.RunCommand) (args []string, lent []plan.File, err error) {
	if len(c.Files) == 0 {
		return c.CmdLine, nil, nil
	}
	if len(c.CmdLine) != 1 || !c.PrependShell {
		return nil, nil, fmt.Errorf("a here-document belongs to a shell form with one command, not to %q", c.CmdLine)
	}
	if parser.MustParseHeredoc(c.CmdLine[0]) == nil {
		var b strings.Builder
		b.WriteString(c.CmdLine[0])
		for _, f := range c.Files {
			b.WriteString("\n" + f.Data + f.Name)
		}
		return []string{b.String()}, nil, nil
	}
	f := c.Files[0]
	if f.Chomp {
		f.Data = parser.ChompHeredocContent(f.Data)
	}
	if !strings.HasPrefix(f.Data, "#!") {
		return []string{f.Data}, nil, nil
	}
	script := path.Join("/dev/pipes", path.Join("/", f.Name))
	return []string{path.Join("/dev/pipes", f.Name)}, []plan.File{{Path: script, Mode: 0o755, Data: f.Data}}, nil
}

// mounts adds what RUN --mount asks for.
func (d *stepper) mounts(r *plan.Run, c *instructions.RunCommand, sources []*state) error {
	agents := 0
	for i, m := range instructions.GetMounts(c) {
		var src *state
		if i < len(sources) {
			src = sources[i]
		}
		made, err := d.mount(m, src)
		if err != nil {
			return err
		}
		if made.Type == plan.MountSSH {
			if made.Target == "" {
				made.Target = fmt.Sprintf("/run/buildkit/ssh_agent.%d", agents)
			}
			_, has := d.s.env.Get(agentVar)
			if agents == 0 && !has {
				r.Vars = append(r.Vars, plan.Var{Name: agentVar, Value: made.Target})
			}
			agents++
		}
		r.Mounts = append(r.Mounts, made)
	}
	return nil
}

const agentVar = "SSH_AUTH_SOCK"

// mount lowers one mount. src is the state that from= names; nil if there is
// none.
func (d *stepper) mount(m *instructions.Mount, src *state) (plan.Mount, error) {
	var from plan.Source
	if src != nil {
		var err error
		if from, err = d.files(src, "mount", m.From); err != nil {
			return plan.Mount{}, err
		}
	}
	switch m.Type {
	case instructions.MountTypeSecret:
		return d.secret(m)
	case instructions.MountTypeSSH:
		return d.agent(m)
	}
	target := path.Clean(m.Target)
	if !path.IsAbs(target) {
		target = path.Join("/", d.s.config.WorkingDir, m.Target)
	}
	if target == "/" {
		return plan.Mount{}, fmt.Errorf("invalid mount target %q", m.Target)
	}
	out := plan.Mount{Type: plan.MountType(m.Type), Target: target, ReadOnly: m.ReadOnly}
	switch m.Type {
	case instructions.MountTypeTmpfs:
		out.Size = m.SizeLimit
	case instructions.MountTypeCache:
		out.From, out.Path = from, relative(m.Source)
		out.ID = m.CacheID
		if out.ID == "" {
			out.ID = path.Clean(m.Target)
		}
		if ns := d.o.BuildArgs["BUILDKIT_CACHE_MOUNT_NS"]; ns != "" {
			out.ID = ns + "/" + out.ID
		}
		out.Sharing = plan.Sharing(m.CacheSharing)
		out.Mode = 0o755
		if out.Path == "" {
			permissions(&out, m, 0o755)
		}
	default:
		out.From, out.Path = from, relative(m.Source)
	}
	return out, nil
}

// relative is a path relative to the root of its source; empty for the root.
func relative(p string) string { return strings.TrimPrefix(path.Join("/", p), "/") }

// secret lowers a mount of a secret.
func (d *stepper) secret(m *instructions.Mount) (plan.Mount, error) {
	id := m.CacheID
	if m.Source != "" {
		id = m.Source
	}
	if id == "" {
		if m.Target == "" {
			return plan.Mount{}, errors.New("one of source, target required")
		}
		id = path.Base(m.Target)
	}
	out := plan.Mount{Type: plan.MountSecret, ID: id, Target: m.Target, Required: m.Required, ReadOnly: m.ReadOnly}
	if m.Env != nil {
		out.Env = *m.Env
	} else if out.Target == "" {
		out.Target = "/run/secrets/" + path.Base(id)
	}
	if out.Target != "" && !path.IsAbs(out.Target) {
		out.Target = path.Join("/", d.s.config.WorkingDir, out.Target)
	}
	permissions(&out, m, 0o400)
	return out, nil
}

// agent lowers a mount of an ssh agent's socket.
func (d *stepper) agent(m *instructions.Mount) (plan.Mount, error) {
	if m.Source != "" {
		return plan.Mount{}, errors.New("ssh does not support source")
	}
	out := plan.Mount{Type: plan.MountSSH, ID: m.CacheID, Target: m.Target, Required: m.Required, ReadOnly: m.ReadOnly}
	if out.ID == "" {
		out.ID = "default"
	}
	if out.Target != "" && !path.IsAbs(out.Target) {
		out.Target = path.Join("/", d.s.config.WorkingDir, out.Target)
	}
	permissions(&out, m, 0o600)
	return out, nil
}
