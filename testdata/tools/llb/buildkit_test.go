package llb_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/pb"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kanso-build/kanso/resolve/dockerfile"
)

// answer is what both make of a Dockerfile, in words that can be compared.
type answer struct {
	Tree     string // the operations that make the files
	Config   string // the image's configuration
	Warnings []string
}

// ask has BuildKit's own front end convert a Dockerfile.
func ask(ctx context.Context, text []byte, o dockerfile.Options) (answer, error) {
	var a answer
	caps := pb.Caps.CapSet(pb.Caps.All())
	opt := dockerfile2llb.ConvertOpt{
		Config: dockerui.Config{
			BuildArgs: maps.Clone(o.BuildArgs), Target: o.Target, Labels: maps.Clone(o.Labels),
			BuildPlatforms: []ocispec.Platform{platforms.MustParse("linux/amd64")},
		},
		MetaResolver: resolver{}, LLBCaps: &caps,
		Warn: func(rule, _, _, text string, at []parser.Range) {
			line := 0
			if len(at) > 0 {
				line = at[0].Start.Line
			}
			a.Warnings = append(a.Warnings, fmt.Sprintf("%d %s %s", line, rule, text))
		},
	}
	if o.Platform != "" {
		p := platforms.Normalize(platforms.MustParse(o.Platform))
		opt.TargetPlatform = &p
	}
	res, err := dockerfile2llb.Dockerfile2LLB(ctx, text, opt)
	if err != nil {
		return a, err
	}
	def, err := res.State.Marshal(ctx)
	if err != nil {
		return a, err
	}
	r, last, err := newReader(def.Def)
	if err != nil {
		return a, err
	}
	a.Tree = scratch
	if last != nil {
		if a.Tree, err = r.input(last); err != nil {
			return a, err
		}
	}
	a.Config = configText(res.Image.Config, res.Image.Author)
	slices.Sort(a.Warnings)
	a.Warnings = slices.Compact(a.Warnings) // kanso says nothing twice
	return a, nil
}

const scratch = "scratch\n"

// configText is a configuration as JSON, without the differences that mean
// nothing.
func configText(c dockerspec.DockerOCIImageConfig, author string) string {
	for _, m := range []*map[string]struct{}{&c.ExposedPorts, &c.Volumes} {
		if len(*m) == 0 {
			*m = nil
		}
	}
	if len(c.Labels) == 0 {
		c.Labels = nil
	}
	b, _ := json.MarshalIndent(struct {
		C dockerspec.DockerOCIImageConfig
		A string
	}{c, author}, "", " ")
	return string(b)
}

// resolver knows every image: what it says depends on the name.
type resolver struct{}

func (resolver) ResolveImageConfig(_ context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	img := image(ref)
	if opt.ImageOpt != nil && opt.ImageOpt.Platform != nil {
		img.Platform = ocispec.Platform{OS: opt.ImageOpt.Platform.OS, Architecture: opt.ImageOpt.Platform.Architecture, Variant: opt.ImageOpt.Platform.Variant}
	}
	b, err := json.Marshal(img)
	return ref, "", b, err
}

// image is the configuration of an image of the tests.
func image(ref string) dockerspec.DockerOCIImage {
	var img dockerspec.DockerOCIImage
	img.OS, img.Architecture = "linux", "amd64"
	img.RootFS.DiffIDs = []digest.Digest{digest.FromString(ref)}
	c := &img.Config
	switch {
	case strings.Contains(ref, "bare"):
	case strings.Contains(ref, "onbuild"):
		c.OnBuild = []string{"COPY . /app", "RUN make $X", "ENV FROM_BASE=$X"}
		fallthrough
	case strings.Contains(ref, "rich"), strings.Contains(ref, "debian"):
		c.Env = []string{"PATH=/bin", "X=of base", "LANG="}
		c.WorkingDir, c.User = "srv/www", "1000"
		c.Cmd, c.Entrypoint = []string{"serve"}, []string{"/entry"}
		c.Labels = map[string]string{"a": "1"}
		c.ExposedPorts = map[string]struct{}{"80/tcp": {}}
	case strings.Contains(ref, "settings"):
		c.Env = []string{"PATH=/bin:/usr/bin"}
		c.Shell = []string{"/bin/bash", "-ec"}
		c.Cmd = []string{"sh"}
		c.Volumes = map[string]struct{}{"/data": {}}
		c.Healthcheck = &dockerspec.HealthcheckConfig{Test: []string{"CMD", "true"}}
	default:
		c.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin"}
		c.Cmd = []string{"/bin/sh"}
	}
	return img
}

// A reader reads LLB.
type reader struct {
	ops  map[string]*pb.Op
	text map[string]string
}

// newReader also says what the result is.
func newReader(def [][]byte) (*reader, *pb.Input, error) {
	r := &reader{ops: map[string]*pb.Op{}, text: map[string]string{}}
	var last *pb.Op
	for _, b := range def {
		op := new(pb.Op)
		if err := op.Unmarshal(b); err != nil {
			return nil, nil, err
		}
		r.ops[string(digest.FromBytes(b))] = op
		last = op
	}
	if last == nil || len(last.Inputs) == 0 {
		return r, nil, nil
	}
	return r, last.Inputs[0], nil
}

// input is a tree of files as text.
func (r *reader) input(in *pb.Input) (string, error) {
	key := in.Digest + "#" + strconv.Itoa(int(in.Index))
	if t, ok := r.text[key]; ok {
		return t, nil
	}
	op := r.ops[in.Digest]
	var t string
	var err error
	switch o := op.Op.(type) {
	case *pb.Op_Source:
		t = sourceText(o.Source, op.Platform)
	case *pb.Op_Exec:
		t, err = r.exec(op, o.Exec)
	case *pb.Op_File:
		t, err = r.files(op, o.File, int(in.Index))
	case *pb.Op_Merge:
		t, err = r.merge(op)
	default:
		err = fmt.Errorf("operation %T", op.Op)
	}
	r.text[key] = t
	return t, err
}

func sourceText(s *pb.SourceOp, p *pb.Platform) string {
	id := s.Identifier
	switch {
	case strings.HasPrefix(id, "local://"):
		return "context\n"
	case strings.HasPrefix(id, "docker-image://"):
		pl := ""
		if p != nil {
			pl = platforms.Format(platforms.Normalize(ocispec.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant}))
		}
		return "image " + strings.TrimPrefix(id, "docker-image://") + " " + pl + "\n"
	case strings.HasPrefix(id, "git://"):
		_, fragment, _ := strings.Cut(id, "#")
		return fmt.Sprintf("git %s#%s keep=%v checksum=%s\n", s.Attrs[pb.AttrFullRemoteURL], fragment, s.Attrs[pb.AttrKeepGitDir] == "true", s.Attrs[pb.AttrGitChecksum])
	}
	return fmt.Sprintf("url %s checksum=%s\n", id, s.Attrs[pb.AttrHTTPChecksum])
}

func (r *reader) merge(op *pb.Op) (string, error) {
	base, err := r.input(op.Inputs[0])
	if err != nil {
		return "", err
	}
	for _, in := range op.Inputs[1:] {
		above, err := r.input(in)
		if err != nil {
			return "", err
		}
		rest, ok := strings.CutPrefix(above, scratch)
		if !ok {
			return "", errors.New("merge of what is not on scratch")
		}
		base += strings.ReplaceAll(rest, "\ncopy ", "\nlink copy ")
		base = strings.ReplaceAll(base, "\nlink link ", "\nlink ")
		if strings.HasPrefix(rest, "copy ") {
			base = strings.TrimSuffix(base, strings.ReplaceAll(rest, "\ncopy ", "\nlink copy ")) + "link " + strings.ReplaceAll(rest, "\ncopy ", "\nlink copy ")
		}
	}
	return base, nil
}

func (r *reader) files(op *pb.Op, f *pb.FileOp, index int) (string, error) {
	outs := map[int]string{}
	get := func(i int64) (string, error) {
		if i < 0 {
			return scratch, nil
		}
		if int(i) < len(op.Inputs) {
			return r.input(op.Inputs[i])
		}
		return outs[int(i)], nil
	}
	for n, a := range f.Actions {
		base, err := get(a.Input)
		if err != nil {
			return "", err
		}
		var t string
		switch x := a.Action.(type) {
		case *pb.FileAction_Copy:
			from, err := get(a.SecondaryInput)
			if err != nil {
				return "", err
			}
			t = copyText(x.Copy, from)
		case *pb.FileAction_Mkdir:
			t = mkdirText(x.Mkdir.Path, int(x.Mkdir.Mode), ownerText(x.Mkdir.Owner))
		case *pb.FileAction_Mkfile:
			t = fmt.Sprintf("file %s %o %q\n", x.Mkfile.Path, x.Mkfile.Mode, x.Mkfile.Data)
		default:
			return "", fmt.Errorf("action %T", a.Action)
		}
		outs[len(op.Inputs)+n] = base + t
		if int(a.Output) == index {
			outs[-1] = base + t
		}
	}
	return outs[-1], nil
}

func mkdirText(path string, mode int, owner string) string {
	return fmt.Sprintf("mkdir %s %o owner=%s\n", path, mode, owner)
}

// ownerText is an owner as plans have them.
func ownerText(o *pb.ChownOpt) string {
	if o == nil || (o.User == nil && o.Group == nil) {
		return ""
	}
	text := func(u *pb.UserOpt) (string, bool) {
		switch u := u.User.(type) {
		case *pb.UserOpt_ByName:
			return u.ByName.Name, false
		case *pb.UserOpt_ByID:
			return strconv.Itoa(int(int32(u.ByID))), true
		}
		return "", false
	}
	user, byID := text(o.User)
	switch {
	case o.Group != nil:
		group, _ := text(o.Group)
		return user + ":" + group
	case byID:
		return user + ":" + user
	}
	return user + ":"
}

func copyText(c *pb.FileActionCopy, from string) string {
	mode := c.ModeStr
	if mode == "" && c.Mode != -1 {
		mode = strconv.FormatInt(int64(c.Mode), 8)
	}
	src := c.Src
	parents := ""
	if len(c.IncludePatterns) > 0 {
		parents = c.IncludePatterns[0]
	}
	dest := c.Dest
	if strings.HasSuffix(dest, "/.") {
		dest = strings.TrimSuffix(dest, ".")
	}
	return copyLine(src, dest, parents, ownerText(c.Owner), mode, c.ExcludePatterns, c.AttemptUnpackDockerCompatibility, from)
}

func copyLine(src, dest, parents, owner, mode string, exclude []string, unpack bool, from string) string {
	return fmt.Sprintf("copy %s to %s parents=%q owner=%s mode=%s exclude=%q unpack=%v from\n%s", src, dest, parents, owner, mode, exclude, unpack, indent(from))
}

func indent(s string) string {
	return "\t" + strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n\t") + "\n"
}
