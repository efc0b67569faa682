package layers

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// An Earlier is what another command left before, in the same lower trees: a tree,
// which is not changed, and the layers that it became.
type Earlier struct {
	Tree   string         `json:"tree"`   // its directory
	Layers []EarlierLayer `json:"layers"` // bottom first
}

// An EarlierLayer is one of the layers of an [Earlier].
type EarlierLayer struct {
	Name    string  `json:"name"` // any that tells it from the others
	Listing Listing `json:"listing"`
}

// A Joint is what two commands changed of the same lower trees.
type Joint struct {
	Was, Is []File // by the earlier command and by this one, sorted by path
	// Lower is what the lower trees have at a path.
	Lower func(p string) (mode fs.FileMode, ok bool, err error)
}

// files are what the layers hold together, each path once, sorted by path. Their
// contents are read from the tree. Deletions have the given time.
func (e Earlier) files(deleted time.Time) ([]File, error) {
	var out []File
	at := map[string]int{}
	for _, l := range e.Layers {
		for _, entry := range l.Listing.Entries {
			if entry.Opaque {
				return nil, errors.New("a layer that hides a directory cannot be joined")
			}
			f := e.file(entry, deleted)
			if f.HardLink {
				if i, ok := at[f.Link]; ok {
					f.Size = out[i].Size
				}
			}
			if i, ok := at[f.Path]; !ok {
				at[f.Path] = len(out)
				out = append(out, f)
			} else if !SameDirectory(out[i], f) {
				return nil, fmt.Errorf("/%s is in two layers", f.Path)
			}
		}
	}
	slices.SortFunc(out, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return out, nil
}

// file is an entry as a file of the tree.
func (e Earlier) file(entry Entry, deleted time.Time) File {
	if entry.Whiteout {
		f := Whiteout(entry.Path)
		f.Time = deleted
		return f
	}
	f := File{
		Path: entry.Path, Mode: entry.Mode, UID: entry.UID, GID: entry.GID, Size: entry.Size, Link: entry.Link, HardLink: entry.HardLink,
		Time: time.Unix(entry.Time, 0).UTC(), Major: entry.Major, Minor: entry.Minor,
	}
	for name, value := range entry.Xattrs {
		if f.Xattrs == nil {
			f.Xattrs = map[string]string{}
		}
		f.Xattrs[name] = string(value)
	}
	if f.Mode.IsRegular() && !f.HardLink {
		f.Open = func() (io.ReadCloser, error) {
			return os.Open(filepath.Join(TreeFiles(e.Tree), filepath.FromSlash(f.Path)))
		}
	}
	return f
}

// SameDirectory says whether two entries are directories that do not differ.
func SameDirectory(a, b File) bool {
	return a.Mode.IsDir() && a.Mode == b.Mode && a.UID == b.UID && a.GID == b.GID && maps.Equal(a.Xattrs, b.Xattrs) && a.Time.Unix() == b.Time.Unix()
}

// known is the name of the layer that has these files and no others, if all but
// the directories among them stay from the earlier command.
func (e Earlier) known(files []File, stays map[string]bool) string {
	for _, f := range files {
		if !f.Mode.IsDir() && !stays[f.Path] {
			return ""
		}
	}
	for _, l := range e.Layers {
		if l.Listing.holds(files) {
			return l.Name
		}
	}
	return ""
}

// holds says whether the entries of a layer are those of files, whatever their
// contents.
func (l Listing) holds(files []File) bool {
	return slices.EqualFunc(l.Entries, files, func(e Entry, f File) bool {
		if deleted, _ := Deletes(f.Path); deleted != "" || e.Whiteout {
			return e.Whiteout && e.Path == deleted
		}
		size := f.Size
		if !f.Mode.IsRegular() || f.HardLink {
			size = 0
		}
		return !e.Opaque && e.Path == f.Path && e.Mode == f.Mode && e.UID == f.UID && e.GID == f.GID && e.Size == size &&
			e.Link == f.Link && e.HardLink == f.HardLink && e.Time == f.Time.Unix() && e.Major == f.Major && e.Minor == f.Minor &&
			maps.EqualFunc(e.Xattrs, f.Xattrs, func(a []byte, b string) bool { return string(a) == b })
	})
}
