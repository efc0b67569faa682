package llb_test

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/moby/buildkit/solver/pb"
)

func (r *reader) exec(op *pb.Op, e *pb.ExecOp) (string, error) {
	var b strings.Builder
	var mounts []string
	for _, m := range e.Mounts {
		in := ""
		if m.Input >= 0 {
			var err error
			if in, err = r.input(op.Inputs[m.Input]); err != nil {
				return "", err
			}
		}
		if m.Dest == "/" {
			if in == "" {
				in = scratch
			}
			b.WriteString(in)
			continue
		}
		mounts = append(mounts, mountText(m, in, e.Meta.Cwd))
	}
	for _, s := range e.Secretenv {
		mounts = append(mounts, fmt.Sprintf("secret %s env=%s required=%v\n", s.ID, s.Name, !s.Optional))
	}
	b.WriteString(execText(e.Meta.Args, e.Meta.Env, e.Meta.Cwd, e.Meta.User, e.Network == pb.NetMode_NONE, mounts))
	for _, h := range e.Meta.ExtraHosts {
		fmt.Fprintf(&b, "host %s=%s\n", h.Host, h.IP)
	}
	if p := e.Meta.ProxyEnv; p != nil {
		fmt.Fprintf(&b, "proxies %s %s %s %s %s\n", p.HttpProxy, p.HttpsProxy, p.FtpProxy, p.NoProxy, p.AllProxy)
	}
	return b.String(), nil
}

func execText(args, env []string, cwd, user string, none bool, mounts []string) string {
	env = slices.Sorted(slices.Values(env))
	slices.Sort(mounts)
	return fmt.Sprintf("exec %q\n env %q\n in %s as %s, no network=%v\n%s", args, env, path.Clean(cwd), user, none, indent(strings.Join(mounts, "")))
}

// mountText takes a relative place to be below the working directory, as the
// builder does.
func mountText(m *pb.Mount, in, cwd string) string {
	if !path.IsAbs(m.Dest) {
		m.Dest = path.Join(cwd, m.Dest)
	}
	switch m.MountType {
	case pb.MountType_TMPFS:
		return fmt.Sprintf("tmpfs %s size=%d\n", path.Clean(m.Dest), m.TmpfsOpt.Size)
	case pb.MountType_SECRET:
		s := m.SecretOpt
		return fmt.Sprintf("secret %s at %s %o %d:%d required=%v\n", s.ID, m.Dest, s.Mode, s.Uid, s.Gid, !s.Optional)
	case pb.MountType_SSH:
		s := m.SSHOpt
		id := s.ID
		if id == "" {
			id = "default"
		}
		return fmt.Sprintf("ssh %s at %s %o %d:%d required=%v\n", id, m.Dest, s.Mode, s.Uid, s.Gid, !s.Optional)
	case pb.MountType_CACHE:
		selector, mode, owner := m.Selector, "755", "0:0"
		if base, dir, ok := strings.Cut(in, "mkdir /cache "); ok && selector == "/cache" {
			in, selector = base, ""
			fmt.Sscanf(dir, "%s owner=%s", &mode, &owner)
		}
		if in == scratch {
			in = ""
		}
		return cacheText(strings.TrimPrefix(m.CacheOpt.ID, "/"), m.Dest, m.CacheOpt.Sharing.String(), m.Readonly, mode, owner, selector, in)
	}
	if m.Input < 0 {
		in = scratch
	}
	return bindText(m.Dest, m.Readonly, m.Selector, in)
}

func cacheText(id, dest, sharing string, ro bool, mode, owner, selector, in string) string {
	return fmt.Sprintf("cache %s at %s %s ro=%v %s %s %q of\n%s", id, path.Clean(dest), strings.ToLower(sharing), ro, mode, owner, strings.TrimPrefix(selector, "/"), indent(in))
}

func bindText(dest string, ro bool, selector, in string) string {
	return fmt.Sprintf("bind %s ro=%v %q of\n%s", path.Clean(dest), ro, strings.TrimPrefix(selector, "/"), indent(in))
}
