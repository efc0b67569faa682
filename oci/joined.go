package oci

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/python"
)

// CaptureArgs are the arguments of the sandbox's verb "capture": what a command
// changed goes out as a layer.
type CaptureArgs struct {
	layers.CaptureOptions
	// Parts, if it is not 0, asks for layers as [Distributions] divides them, at
	// most so many, in the form of [layers.WriteParts].
	Parts int `json:"parts,omitempty"`
	// Join says that the command was an installer that did only what an earlier
	// one had not done.
	Join *JoinArgs `json:"join,omitempty"`
	// Aside are directories, absolute, whose changes do not count.
	Aside []string `json:"aside,omitempty"`
}

// JoinArgs say how what an installer added joins what an earlier install left.
// Names of distributions are normalized.
type JoinArgs struct {
	Earlier layers.Earlier `json:"earlier"`
	// Stay and Leave are all distributions of the earlier install: those that the
	// image has, and those that it has not, or not like that.
	Stay  []string `json:"stay"`
	Leave []string `json:"leave,omitempty"`
	// Add are those that were installed now, Dependencies those among them that
	// nobody asked for by name.
	Add          []string `json:"add,omitempty"`
	Dependencies []string `json:"dependencies,omitempty"`
	// Files are put in place by the step itself, not by the installer.
	Files []string `json:"files,omitempty"`
}

// Capture does what the verb "capture" is to do with changes.
func (a CaptureArgs) Capture(ctx context.Context, w io.Writer, c layers.Changes) error {
	c.Skip = slices.Concat(c.Skip, a.Aside)
	switch {
	case a.Join != nil:
		if err := a.Join.unrequest(c.Upper); err != nil {
			return fmt.Errorf("install dependencies: %w", err)
		}
		return layers.CaptureJoined(ctx, w, c, a.CaptureOptions, a.Join.Earlier, func(j layers.Joint) ([]layers.File, []layers.Part, error) {
			return (&joining{Joint: j, args: a.Join}).parts(a.Parts)
		})
	case a.Parts > 0:
		return layers.CaptureParts(ctx, w, c, a.CaptureOptions, Distributions(a.Parts))
	}
	return layers.Capture(ctx, w, c, a.CaptureOptions)
}

// unrequest makes dependencies, which had to be named to the installer, what they
// are if they are not: without the file REQUESTED (PEP 376).
func (a *JoinArgs) unrequest(upper string) error {
	return filepath.WalkDir(upper, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != python.Requested || !d.Type().IsRegular() {
			return err
		}
		info := filepath.Dir(file)
		if !slices.Contains(a.Dependencies, python.NameOf(info)) {
			return nil
		}
		record := filepath.Join(info, "RECORD")
		data, err := os.ReadFile(record)
		if err != nil {
			return err
		}
		if err := os.WriteFile(record, python.Unrequested(data, filepath.Base(info)), 0o600); err != nil { // its mode stays
			return err
		}
		return os.Remove(file)
	})
}

// joining puts what two installs left together as one install would have left
// it, or refuses.
type joining struct {
	layers.Joint
	args *JoinArgs
	was  *python.Site // of the earlier install
	err  error        // of reading lower trees
}

func refuse(format string, args ...any) error { return layers.Refusal(fmt.Sprintf(format, args...)) }

// parts are what stays of the earlier install, and the layers of all.
func (j *joining) parts(max int) ([]layers.File, []layers.Part, error) {
	var err error
	if j.was, err = j.site(j.Was); err != nil {
		return nil, nil, err
	}
	if err := j.check(); err != nil {
		return nil, nil, err
	}
	if err := j.checkAdded(); err != nil {
		return nil, nil, err
	}
	stay, err := j.staying()
	if err != nil {
		return nil, nil, err
	}
	files, err := j.merge(stay)
	if err != nil {
		return nil, nil, err
	}
	parts, err := Distributions(max)(files, j.below)
	if err == nil {
		err = j.err
	}
	return stay, parts, err
}

// site reads which distributions files belong to.
func (j *joining) site(files []layers.File) (*python.Site, error) {
	site, err := siteOf(files, j.below)
	if err == nil {
		err = j.err
	}
	if err != nil {
		return nil, fmt.Errorf("read distributions: %w", err)
	}
	return site, nil
}

func (j *joining) below(p string) bool {
	_, ok, err := j.Lower(p)
	if err != nil && j.err == nil {
		j.err = err
	}
	return ok
}

// check says whether the earlier install can be taken apart.
func (j *joining) check() error {
	known := map[string]bool{}
	for _, name := range j.args.Stay {
		known[name] = true
	}
	for _, name := range j.args.Leave {
		known[name] = false
	}
	for _, d := range j.was.Distributions() {
		stays, ok := known[d.Name]
		if !ok {
			return refuse("%s is there and was not asked for", d.Name)
		}
		delete(known, d.Name)
		for _, why := range d.Unsafe {
			if !harmless(why, stays) {
				return refuse("%s %s", d.Name, why)
			}
		}
	}
	for name := range known {
		return refuse("%s is not there", name)
	}
	return nil
}

// harmless says whether a distribution that was installed before may be parted
// from the others all the same.
func harmless(why python.Reason, stays bool) bool {
	switch why {
	case python.PathFile, python.DataScript:
		return true
	case python.Replaces:
		return stays
	}
	return false
}

// checkAdded says whether what was installed now is what it would be beside the
// others.
func (j *joining) checkAdded() error {
	site, err := j.site(j.Is)
	if err != nil {
		return err
	}
	missing := map[string]bool{}
	for _, name := range j.args.Add {
		missing[name] = true
	}
	for _, d := range site.Distributions() {
		if !missing[d.Name] {
			return refuse("%s was not to be installed", d.Name)
		}
		delete(missing, d.Name)
		for _, why := range d.Unsafe {
			return refuse("%s %s", d.Name, why)
		}
	}
	for name := range missing {
		return refuse("%s was not installed", name)
	}
	return j.claimed(j.Is, site)
}

// claimed says whether every file belongs to a distribution or to the step.
func (j *joining) claimed(files []layers.File, site *python.Site) error {
	for _, f := range files {
		p := subject(f)
		if !f.Mode.IsDir() && site.Owner(p) == "" && !slices.Contains(j.args.Files, p) {
			return refuse("/%s belongs to no distribution", p)
		}
	}
	return nil
}

// subject is the path that an entry is about: also one that it deletes.
func subject(f layers.File) string {
	if deleted, _ := layers.Deletes(f.Path); deleted != "" {
		return deleted
	}
	return f.Path
}

// staying are the files of the earlier install that stay, with the directories
// that lead to them. Deletions that are nobody's were made for a distribution of
// the layers below whose directories others share; what took its place stays.
func (j *joining) staying() ([]layers.File, error) {
	names := map[string]bool{"": true}
	for _, name := range j.args.Stay {
		names[name] = true
	}
	stays := func(f layers.File) bool { return !f.Mode.IsDir() && names[j.was.Owner(subject(f))] }
	full, leads := map[string]bool{}, map[string]bool{".": true}
	var was []layers.File
	for _, f := range j.Was {
		full[path.Dir(f.Path)] = true
		p := subject(f)
		if slices.Contains(j.args.Files, p) {
			continue
		}
		if !f.Mode.IsDir() && p == f.Path && j.was.Owner(p) == "" {
			return nil, refuse("/%s belongs to no distribution", p)
		}
		was = append(was, f)
		for dir := path.Dir(f.Path); stays(f) && !leads[dir]; dir = path.Dir(dir) {
			leads[dir] = true
		}
	}
	var stay []layers.File
	for _, f := range was {
		if stays(f) || f.Mode.IsDir() && leads[f.Path] {
			stay = append(stay, f)
		} else if f.Mode.IsDir() {
			if err := j.goes(f, full[f.Path]); err != nil {
				return nil, err
			}
		}
	}
	return stay, nil
}

// goes says whether a directory that has nothing left would not be there.
func (j *joining) goes(dir layers.File, full bool) error {
	if !full {
		return refuse("/%s is empty", dir.Path)
	}
	mode, ok, err := j.Lower(dir.Path)
	if err == nil && ok && mode != dir.Mode {
		err = refuse("the mode of /%s was changed", dir.Path)
	}
	return err
}

// merge puts what stays and what is new together. They share directories and
// nothing else.
func (j *joining) merge(stay []layers.File) ([]layers.File, error) {
	all := make(map[string]layers.File, len(stay)+len(j.Is))
	for _, f := range stay {
		all[subject(f)] = f
	}
	for _, f := range j.Is {
		p := subject(f)
		if was, ok := all[p]; ok && !layers.SameDirectory(was, f) {
			return nil, refuse("/%s belongs to what was installed before, too", p)
		}
		all[p] = f
	}
	for p := range all {
		for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
			if f, ok := all[dir]; ok && (!f.Mode.IsDir() || subject(f) != f.Path) {
				return nil, refuse("/%s is no directory for all", dir)
			}
		}
	}
	return slices.SortedFunc(maps.Values(all), func(a, b layers.File) int { return strings.Compare(a.Path, b.Path) }), nil
}
