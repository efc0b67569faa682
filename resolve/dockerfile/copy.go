package dockerfile

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/dfgitutil"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/util/system"
	digest "github.com/opencontainers/go-digest"
	mode "github.com/tonistiigi/dchapes-mode"

	"github.com/kanso-build/kanso/resolve/plan"
)

// A copying is a COPY or an ADD.
type copying struct {
	instructions.SourcesAndDest
	from plan.Source
	// foreign says that from is not the build context.
	foreign       bool
	add           bool
	chown, chmod  string
	link, parents bool
	exclude       []string
	keepGit       *bool
	checksum      string
	unpack        *bool
	at            []parser.Range
}

// copy makes steps of a COPY or ADD: one, if all comes from one place.
func (d *stepper) copy(c copying) error {
	if err := c.check(); err != nil {
		return err
	}
	dest, err := system.NormalizePath(d.s.config.WorkingDir, c.DestPath, "linux", true)
	if err != nil {
		return err
	}
	common := plan.Copy{
		Dest: destination(dest, c.DestPath), Exclude: c.exclude, Chmod: c.chmod, Owner: owner(c.chown), Modes: plan.ModesDisk,
		Link: c.link && c.chmod == "", // as BuildKit, which makes an ordinary copy with --chmod
	}
	var steps []plan.Copy
	for _, src := range c.SourcePaths {
		step := common
		if err := d.source(&step, &c, src); err != nil {
			return err
		}
		if n := len(steps); n > 0 && step.From.Git == "" && step.From.URL == "" && steps[n-1].From.Git == "" && steps[n-1].From.URL == "" {
			steps[n-1].Patterns = append(steps[n-1].Patterns, step.Patterns...)
			continue
		}
		steps = append(steps, step)
	}
	if len(c.SourceContents) > 0 {
		step := common
		for _, f := range c.SourceContents {
			name := cleaned(f.Path)[1:]
			if name == "" || strings.Contains(name, "/") {
				return fmt.Errorf("a here-document makes a file, and %q is not the name of one", f.Path)
			}
			step.From.Inline = append(step.From.Inline, plan.File{Path: name, Mode: 0o644, Data: f.Data})
			step.Patterns = append(step.Patterns, name)
		}
		steps = append(steps, step)
	}
	for _, s := range steps {
		d.emit(s)
	}
	return nil
}

// destination is a path with a slash at its end if it is a directory's.
func destination(p, as string) string {
	slash := strings.HasSuffix(p, "/") || strings.HasSuffix(p, "/.") || as == "" || as == "."
	if p = cleaned(p); slash && p != "/" {
		p += "/"
	}
	return p
}

// cleaned is a path from the root on, without "..".
func cleaned(p string) string { return path.Join("/", p) }

// check refuses what no source can make right.
func (c *copying) check() error {
	if c.chown != "" && c.link && byName(c.chown) {
		return fmt.Errorf("--chown=%s: user and group names can't be resolved when used with --link, use numeric uid[:gid] instead", c.chown)
	}
	if err := checkMode(c.chmod); err != nil {
		return err
	}
	if c.checksum == "" {
		return nil
	}
	if len(c.SourcePaths) != 1 {
		return errors.New("checksum can't be specified for multiple sources")
	}
	if src := c.SourcePaths[0]; !isURL(src) && !isGit(src) {
		return errors.New("checksum requires HTTP(S) or Git sources")
	}
	return nil
}

// byName says whether an owner needs the image's files to be known.
func byName(chown string) bool {
	user, group, _ := strings.Cut(chown, ":")
	if _, ok := number(user); !ok && user != "" {
		return true
	}
	_, ok := number(group)
	return !ok && group != ""
}

// checkMode refuses what --chmod does not take.
func checkMode(s string) error {
	if s == "" {
		return nil
	}
	octal := fmt.Errorf("invalid chmod parameter: '%v'. it should be octal string and between 0 and 07777", s)
	if n, err := strconv.ParseUint(s, 8, 32); err == nil {
		if n > 0o7777 {
			return octal
		}
		return nil
	}
	if _, err := mode.Parse(s); err != nil {
		return fmt.Errorf("%w, or symbolic as in u+rwX,go-w", octal)
	}
	return nil
}

// source sets where a step has one source of a COPY or ADD from.
func (d *stepper) source(step *plan.Copy, c *copying, src string) error {
	ref, git, err := dfgitutil.ParseGitRef(src)
	switch {
	case git && err != nil:
		return err
	case err == nil && !ref.IndistinguishableFromLocal:
		return gitSource(step, c, ref)
	case isURL(src):
		return urlSource(step, c, src)
	}
	d.lintIgnored(c, src)
	step.From = c.from
	step.Patterns = []string{c.pattern(src)}
	step.Parents = c.parents
	if c.add && (c.unpack == nil || *c.unpack) {
		step.Unpack = plan.UnpackLocal
	}
	return nil
}

// pattern is a source as a pattern relative to the root of where it is.
func (c *copying) pattern(src string) string {
	if c.parents {
		if root, rest, ok := strings.Cut(src, "/./"); ok && cleaned(root) != "/" {
			return cleaned(root)[1:] + "/./" + cleaned(rest)[1:]
		}
	}
	if p := cleaned(src)[1:]; p != "" {
		return p
	}
	return "."
}

// urlSource sets a file that is got by HTTP.
func urlSource(step *plan.Copy, c *copying, src string) error {
	if !c.add {
		return errors.New("source can't be a URL for COPY")
	}
	name := "__unnamed__"
	if u, err := url.Parse(src); err == nil {
		if base := path.Base(u.Path); base != "." && base != "/" {
			name = base
		}
	}
	if c.checksum != "" {
		if _, err := digest.Parse(c.checksum); err != nil {
			return fmt.Errorf("checksum %s: %w", c.checksum, err)
		}
	}
	step.From = plan.Source{URL: src, Checksum: c.checksum}
	step.Patterns = []string{name}
	if c.unpack != nil && *c.unpack {
		step.Unpack = plan.UnpackAll
	}
	return nil
}

// gitSource sets a commit of a repository.
func gitSource(step *plan.Copy, c *copying, ref *dfgitutil.GitRef) error {
	if !c.add {
		return errors.New("source can't be a git ref for COPY")
	}
	if c.keepGit != nil && ref.KeepGitDir != nil && *c.keepGit != *ref.KeepGitDir {
		return errors.New("inconsistent keep-git-dir configuration")
	}
	if c.checksum != "" && ref.Checksum != "" && c.checksum != ref.Checksum {
		return fmt.Errorf("checksum mismatch %q != %q", c.checksum, ref.Checksum)
	}
	if ref.Submodules != nil && !*ref.Submodules {
		return errors.New("submodules=false of a git source is not supported")
	}
	if ref.FetchByCommit {
		return errors.New("fetch-by-commit of a git source is not supported")
	}
	keep := c.keepGit
	if ref.KeepGitDir != nil {
		keep = ref.KeepGitDir
	}
	from := plan.Source{Git: ref.Remote, KeepGit: keep != nil && *keep, Checksum: c.checksum}
	if ref.Checksum != "" {
		from.Checksum = ref.Checksum
	}
	if ref.Ref != "" || ref.SubDir != "" {
		from.Git += "#" + ref.Ref
	}
	if ref.SubDir != "" {
		from.Git += ":" + ref.SubDir
	}
	step.From = from
	step.Patterns = []string{"."}
	return nil
}

// isURL says whether a source is got by HTTP.
func isURL(src string) bool {
	return (strings.HasPrefix(src, "http://") || strings.HasPrefix(src, "https://")) && !isGit(src)
}

// isGit says whether a source is a git repository.
func isGit(src string) bool {
	ref, git, _ := dfgitutil.ParseGitRef(src)
	return ref != nil && git
}
