// Package python tells which Python distribution the files of a layer belong
// to, and groups the layer by distribution so that what did not change is the
// same bytes in every build.
//
// It reads what installers leave behind: RECORD in *.dist-info (PyPA
// specification "Recording installed projects"), and what setuptools wrote
// before there were wheels. All of it is taken for hostile: a RECORD can claim
// files of the layer and nothing else, and one that cannot be read claims less.
// The package touches no file system and runs nothing.
package python

import (
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
)

// A File is a file of a layer. Directories are left out.
type File struct {
	Path    string // slash-separated, relative to the image's root, clean
	Size    int64  // in bytes
	Deleted bool   // it is deleted from the layers below, and not there
	Below   bool   // the layers below have it, too
}

// A Distribution is a project that was installed, in all places of the layer
// where it was.
type Distribution struct {
	// Name is normalized: lower case, with "-" for every run of "-", "_" and ".".
	Name string
	// Size is that of its files in the layer, in bytes.
	Size int64
	// Unsafe has the reasons, sorted, why its files must not be put beside
	// those of distributions that were installed without it.
	Unsafe []Reason
}

// A Reason says why a distribution's files depend on what else was installed.
type Reason string

// The reasons. That a pure wheel was built from a source distribution cannot be
// seen in what was installed; only the installer knows.
const (
	OwnedTwice Reason = "owns a path that another distribution owns, too"
	Twice      Reason = "is installed in two versions"
	PathFile   Reason = "has a .pth file"
	DataScript Reason = "has a script that is no entry point"
	FromSource Reason = "was built from source"
	Replaces   Reason = "replaces files of the layers below"
	Unreadable Reason = "has a RECORD that cannot be read"
)

// A Site is what a layer has of Python.
type Site struct {
	dists  map[string]*Distribution
	owners map[string]string // path → name of the distribution
	dirs   map[string]string // directory → the only distribution with files below it, "" for several
}

// Read finds the distributions in a layer whose files are given, in any order.
// open reads one of them, and is asked for little: RECORD and a few small files
// beside it. The files' owners do not depend on their order.
func Read(files []File, open func(path string) (io.ReadCloser, error)) (*Site, error) {
	r := &reader{
		open: open, files: make(map[string]File, len(files)), infos: map[string][]string{},
		site: &Site{dists: map[string]*Distribution{}, owners: map[string]string{}, dirs: map[string]string{}},
	}
	for _, f := range files {
		r.files[f.Path] = f
		if info := infoDir(f.Path); info != "" && !f.Deleted {
			r.infos[info] = append(r.infos[info], f.Path)
		}
	}
	if err := r.read(); err != nil {
		return nil, err
	}
	return r.site, nil
}

// Distributions are those of the layer, sorted by name.
func (s *Site) Distributions() []Distribution {
	list := make([]Distribution, 0, len(s.dists))
	for _, d := range s.dists {
		c := *d
		c.Unsafe = slices.Sorted(slices.Values(d.Unsafe))
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b Distribution) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Owner is the distribution that a path of the layer belongs to; empty if
// nobody claims it. A deleted path belongs to the distribution that took the
// place of what was there.
func (s *Site) Owner(p string) string { return s.owners[p] }

// reader fills a site.
type reader struct {
	open  func(path string) (io.ReadCloser, error)
	files map[string]File
	infos map[string][]string // *.dist-info and *.egg-info → files
	site  *Site
}

func (r *reader) read() error {
	// Those that list nothing take what those that do have left over.
	infos := slices.SortedFunc(maps.Keys(r.infos), func(a, b string) int {
		x, y := strings.HasSuffix(a, eggInfo), strings.HasSuffix(b, eggInfo)
		switch {
		case x == y:
			return strings.Compare(a, b)
		case y:
			return -1
		}
		return 1
	})
	seen := map[string]string{} // place and name → info
	for _, info := range infos {
		name := distributionName(info)
		d := r.site.dists[name]
		if d == nil {
			d = &Distribution{Name: name}
			r.site.dists[name] = d
		}
		at := path.Dir(info) + "\x00" + name
		if other := seen[at]; other != "" && other != info {
			d.add(Twice)
		}
		seen[at] = info
		if err := r.distribution(d, info); err != nil {
			return fmt.Errorf("read /%s: %w", info, err)
		}
	}
	r.compiled()
	r.sum()
	r.deletions()
	return nil
}

// distribution gives a distribution the files that its info directory claims.
func (r *reader) distribution(d *Distribution, info string) error {
	for _, p := range r.infos[info] {
		r.claim(d, p)
	}
	var err error
	switch record := path.Join(info, "RECORD"); {
	case r.has(record):
		err = r.record(d, info, record)
	case strings.HasSuffix(info, eggInfo):
		d.add(FromSource)
		err = r.egg(d, info)
	default:
		d.add(Unreadable)
	}
	if err != nil {
		return err
	}
	return r.origin(d, info)
}

// has says whether the layer adds a file.
func (r *reader) has(p string) bool {
	f, ok := r.files[p]
	return ok && !f.Deleted
}

// claim gives a path of the layer to a distribution. Of several that claim it,
// the first by name has it.
func (r *reader) claim(d *Distribution, p string) {
	f, ok := r.files[p]
	if !ok || f.Deleted {
		return
	}
	was, taken := r.site.owners[p]
	if taken && was != d.Name {
		d.add(OwnedTwice)
		r.site.dists[was].add(OwnedTwice)
	}
	if !taken || d.Name < was {
		r.site.owners[p] = d.Name
	}
	if f.Below {
		d.add(Replaces)
	}
	if strings.HasSuffix(p, ".pth") {
		d.add(PathFile)
	}
}

// compiled gives a .pyc that nobody listed to the owner of its source.
func (r *reader) compiled() {
	for p, f := range r.files {
		if f.Deleted || r.site.owners[p] != "" {
			continue
		}
		if source := sourceOf(p); source != "" && r.site.owners[source] != "" {
			r.site.owners[p] = r.site.owners[source]
		}
	}
}

// sum counts bytes, and notes for every directory whose it is.
func (r *reader) sum() {
	for p, f := range r.files {
		name := r.site.owners[p]
		if f.Deleted || name == "" {
			continue
		}
		r.site.dists[name].Size += f.Size
		for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
			was, ok := r.site.dirs[dir]
			if ok && was == name {
				break
			}
			if ok {
				name = ""
			}
			r.site.dirs[dir] = name
		}
	}
}

// deletions gives a deleted path to the distribution that was installed in its
// place: the one of that name, or the only one that has files in the nearest
// directory above.
func (r *reader) deletions() {
	for p, f := range r.files {
		if !f.Deleted {
			continue
		}
		name := r.replaced(p)
		if name == "" {
			continue
		}
		r.site.owners[p] = name
		r.site.dists[name].add(Replaces)
	}
}

func (r *reader) replaced(p string) string {
	for _, info := range []string{infoDir(p), infoDir(p + "/x")} {
		if info == "" {
			continue
		}
		if name := distributionName(info); r.site.dists[name] != nil {
			return name
		}
	}
	if source := sourceOf(p); source != "" && r.site.owners[source] != "" {
		return r.site.owners[source]
	}
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if name, ok := r.site.dirs[dir]; ok {
			return name
		}
	}
	return ""
}

func (d *Distribution) add(why Reason) {
	if !slices.Contains(d.Unsafe, why) {
		d.Unsafe = append(d.Unsafe, why)
	}
}
