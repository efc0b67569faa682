package layers

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// parent returns where a directory that an entry names lies in this tree, made
// there if it is missing.
func (u *unpacker) parent(dir string) (string, error) {
	if dir == "" || dir == "." {
		return ".", nil
	}
	if real, ok := u.real[dir]; ok {
		return real, nil
	}
	todo, at := strings.Split(dir, "/"), "."
	for links := 0; len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at = inRoot(path.Dir("/" + at))
			continue
		}
		next := path.Join(at, name)
		link, err := u.enter(next)
		if err != nil {
			return "", err
		}
		if link == "" {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("/%s: too many links", dir)
		}
		if path.IsAbs(link) {
			at = "."
		}
		todo = slices.Concat(strings.Split(link, "/"), todo)
	}
	u.real[dir] = at
	return at, nil
}

// enter makes sure that a path is a directory of this tree, or returns the
// link that stands there.
func (u *unpacker) enter(p string) (link string, err error) {
	host := u.host(p)
	info, err := os.Lstat(host)
	if err == nil && info.IsDir() {
		return "", nil
	}
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return os.Readlink(host)
	}
	from := ""
	if err == nil { // a file, or a deletion: a directory takes its place
		if err := u.clear(p, false); err != nil {
			return "", err
		}
	} else if u.apart != nil {
		u.apart.ask(p)
	} else if from, info = u.below(p); from != "" && info.Mode()&fs.ModeSymlink != 0 {
		return os.Readlink(from)
	}
	if err := os.Mkdir(host, 0o700); err != nil {
		return "", err
	}
	if u.gone[p] {
		if err := u.hide(p); err != nil {
			return "", err
		}
	}
	if from == "" || !info.IsDir() {
		u.dirs[p] = dirState{mode: 0o755}
		return "", nil
	}
	return "", u.likeBelow(p, from, info)
}

// likeBelow gives an implied directory the mode, owner and time that it has in
// the layers below.
func (u *unpacker) likeBelow(p, from string, info fs.FileInfo) error {
	u.dirs[p] = dirState{info.Mode(), info.ModTime()}
	e := Entry{Mode: info.Mode()}
	if u.o.Owners == OwnersReal {
		e.UID, e.GID, _, _ = stat(info)
		return u.own(e, p)
	}
	uid, gid, _, err := readOwner(from)
	if err != nil {
		return err
	}
	e.UID, e.GID = uid, gid
	return u.own(e, p)
}

// below returns the host file that a path is in the layers below, or nothing.
func (u *unpacker) below(p string) (string, fs.FileInfo) {
	for _, tree := range u.o.Below {
		file, info, hidden := treeLstat(TreeFiles(tree), p)
		if info != nil {
			return file, info
		}
		if hidden {
			break
		}
	}
	return "", nil
}
