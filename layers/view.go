package layers

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// maxLinks is how many links may be followed on one path, as in Linux.
const maxLinks = 40

// A View shows layers, known by their listings, as one tree. It reads no file.
type View struct {
	root   *node
	files  map[string][]byte
	lists  int // how many were merged
	inodes int // how many were given out
}

// node is a file of the merged tree.
type node struct {
	entry    Entry
	children map[string]*node // of a directory
}

// NewView merges layers, the bottom one first.
func NewView(lists []Listing) *View {
	v := &View{root: &node{entry: Entry{Path: ".", Mode: fs.ModeDir | 0o755}}, files: map[string][]byte{}}
	for _, l := range lists {
		v.Apply(l)
	}
	return v
}

// Apply puts a layer on top. Its deletions concern only what is below it, so
// they come first.
func (v *View) Apply(l Listing) {
	defer func() { v.lists++ }()
	for _, e := range l.Entries {
		switch {
		case e.Opaque:
			if n := v.find(e.Path); n != nil {
				n.children = nil
				v.forget(e.Path)
			}
		case e.Whiteout:
			dir, name := path.Split(e.Path)
			if n := v.find(strings.TrimSuffix(dir, "/")); n != nil {
				delete(n.children, name)
				v.forget(e.Path)
			}
		}
	}
	for _, e := range l.Entries {
		if !e.Opaque && !e.Whiteout {
			v.put(e, l.Files)
		}
	}
}

// forget drops the contents that were kept at a path and below it.
func (v *View) forget(p string) {
	for name := range v.files {
		if name == p || strings.HasPrefix(name, p+"/") {
			delete(v.files, name)
		}
	}
}

// find returns the node at a path; no links are followed.
func (v *View) find(p string) *node {
	n := v.root
	if p == "." || p == "" {
		return n
	}
	for name := range strings.SplitSeq(p, "/") {
		if n = n.children[name]; n == nil {
			return nil
		}
	}
	return n
}

// put adds an entry. Directories that no layer has an entry for are root's,
// 0755; a link in the place of one is followed.
func (v *View) put(e Entry, files map[string][]byte) {
	if e.Path == "." {
		e.Mode |= fs.ModeDir
		v.root.entry = e
		return
	}
	if n := v.linked(e); n != nil { // the same file under another name
		n.entry.UID, n.entry.GID = e.UID, e.GID // the last word counts, as when it is unpacked
		link := n.entry
		link.Path, link.Link, link.HardLink = e.Path, e.Link, true
		e = link
	} else {
		v.inodes++
		e.List, e.From, e.Inode = v.lists, e.Path, v.inodes
	}
	content := files[e.Path]
	dir, name := path.Split(e.Path)
	if real, err := v.Resolve(strings.TrimSuffix(dir, "/")); err == nil {
		dir = real
	}
	e.Path = path.Join(dir, name)
	parent := v.mkdir(dir)
	if old := parent.children[name]; old != nil && old.entry.Mode.IsDir() && e.Mode.IsDir() {
		old.entry = e
		return
	}
	v.forget(e.Path)
	if parent.children == nil {
		parent.children = map[string]*node{}
	}
	parent.children[name] = &node{entry: e}
	if content != nil {
		v.files[e.Path] = content
	}
}

// linked returns what a hard link is another name of.
func (v *View) linked(e Entry) *node {
	if !e.HardLink {
		return nil
	}
	dir, name := path.Split(e.Link)
	real, err := v.Resolve(dir)
	if err != nil {
		return nil
	}
	return v.find(path.Join(real, name))
}

// Put adds an entry as a further layer that has no other would, and Remove
// takes away what is at a path: that is how a step looks ahead. What Put adds
// has no content in any list until [View.Apply] names it again.
func (v *View) Put(e Entry) { v.put(e, nil) }

// Remove takes a path and what is below it away. Links are not followed.
func (v *View) Remove(p string) {
	dir, name := path.Split(inRoot(p))
	if n := v.find(strings.TrimSuffix(dir, "/")); n != nil {
		delete(n.children, name)
		v.forget(inRoot(p))
	}
}

// Clone returns a view that changes on its own.
func (v *View) Clone() *View {
	c := *v
	c.root, c.files = v.root.clone(), maps.Clone(v.files)
	return &c
}

func (n *node) clone() *node {
	c := &node{entry: n.entry}
	if n.children != nil {
		c.children = make(map[string]*node, len(n.children))
		for name, child := range n.children {
			c.children[name] = child.clone()
		}
	}
	return c
}

// ReadDir returns what is in a directory, sorted by name. Links are not
// followed; a path that is no directory has nothing in it.
func (v *View) ReadDir(p string) []Entry {
	n := v.find(inRoot(p))
	if n == nil {
		return nil
	}
	list := make([]Entry, 0, len(n.children))
	for _, c := range n.children {
		list = append(list, c.entry)
	}
	slices.SortFunc(list, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return list
}

// mkdir returns the node of a directory, made where it is missing.
func (v *View) mkdir(p string) *node {
	n := v.root
	if p == "." || p == "" {
		return n
	}
	at := ""
	for name := range strings.SplitSeq(strings.TrimSuffix(p, "/"), "/") {
		at = path.Join(at, name)
		next := n.children[name]
		if next == nil || !next.entry.Mode.IsDir() {
			if n.children == nil {
				n.children = map[string]*node{}
			}
			v.inodes++
			next = &node{entry: Entry{Path: at, Mode: fs.ModeDir | 0o755, Inode: v.inodes}}
			n.children[name] = next
		}
		n = next
	}
	return n
}

// Lstat returns the entry at a path, absolute or relative to the root. Links on
// the way are followed, one at the end is not. The entry's path is where it
// really lies.
func (v *View) Lstat(p string) (Entry, bool) {
	p = inRoot(p)
	if p == "." {
		return v.root.entry, true
	}
	dir, name := path.Split(p)
	real, err := v.Resolve(dir)
	if err != nil {
		return Entry{}, false
	}
	n := v.find(path.Join(real, name))
	if n == nil {
		return Entry{}, false
	}
	return n.entry, true
}

// Resolve follows all links on a path, absolute or relative to the root, as a
// process does whose root this tree is, and returns the path without links,
// relative to the root. What does not exist stays as it is. Too many links are
// an error.
func (v *View) Resolve(p string) (string, error) { return v.ResolveIn(".", p) }

// ResolveIn is [View.Resolve] for a process whose root is the directory dir, a
// path without links relative to the root of the view, as is the result.
func (v *View) ResolveIn(dir, p string) (string, error) {
	if at, ok := v.straight(inRoot(dir), inRoot(p)); ok {
		return at, nil
	}
	todo := strings.Split(inRoot(p), "/")
	dir = inRoot(dir)
	at, links := dir, 0
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		if name == "." || name == "" {
			continue
		}
		if name == ".." {
			if at != dir {
				at = inRoot(path.Dir("/" + at))
			}
			continue
		}
		next := path.Join(at, name)
		n := v.find(next)
		if n == nil || n.entry.Mode.Type() != fs.ModeSymlink {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("/%s: too many links", inRoot(p))
		}
		if path.IsAbs(n.entry.Link) {
			at = dir
		}
		todo = slices.Concat(strings.Split(n.entry.Link, "/"), todo)
	}
	return at, nil
}

// straight is where a path leads on which there are no links, as on most.
func (v *View) straight(dir, p string) (at string, ok bool) {
	n := v.find(dir)
	for rest := p; n != nil && rest != "." && rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		if n = n.children[name]; n != nil && n.entry.Mode.Type() == fs.ModeSymlink {
			return "", false
		}
	}
	switch {
	case dir == ".":
		return p, true
	case p == ".":
		return dir, true
	}
	return dir + "/" + p, true
}

// ReadFile returns the content of one of the files that listings keep.
func (v *View) ReadFile(p string) ([]byte, bool) {
	real, err := v.Resolve(p)
	if err != nil {
		return nil, false
	}
	data, ok := v.files[real]
	return data, ok
}

// Below returns all entries below a directory, sorted by path, itself not
// among them.
func (v *View) Below(dir string) []Entry {
	real, err := v.Resolve(dir)
	if err != nil {
		return nil
	}
	var list []Entry
	var walk func(n *node)
	walk = func(n *node) {
		for _, c := range n.children {
			list = append(list, c.entry)
			walk(c)
		}
	}
	if n := v.find(real); n != nil {
		walk(n)
	}
	slices.SortFunc(list, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return list
}
