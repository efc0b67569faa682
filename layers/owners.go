package layers

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Owners says how the owners of unpacked files are kept on disk.
type Owners string

const (
	// OwnersXattr keeps them beside the files, which all belong to who runs
	// the program: in the extended attribute that rootless tools share,
	// user.containers.override_stat, and in a table for links and devices,
	// which can have no such attribute. A file with neither is 0:0.
	OwnersXattr Owners = "xattr"
	// OwnersReal sets them; it takes privileges or mapped ids.
	OwnersReal Owners = "real"
)

// ownerXattr holds "uid:gid:0mode", the mode in octal.
const ownerXattr = "user.containers.override_stat"

// keptXattr says that a changed file has the owner of what was at its place.
const keptXattr = "user.containers.kept_owner"

// The names in a tree's directory.
const (
	treeFiles = "fs"          // the files themselves
	treeTable = "owners.json" // an OwnerTable
)

// An OwnerTable has the owners of the entries of a tree that can carry no
// extended attribute, by path, and the devices that could not be made. In JSON a
// path that is not UTF-8 is a zero, which no path has, and its bytes in
// hexadecimal.
type OwnerTable map[string]OwnerEntry

// An OwnerEntry is a line of an [OwnerTable]. Mode 0 says that the mode on
// disk is right, and of changes -1 that an id is as it was before.
type OwnerEntry struct {
	UID   int         `json:"uid"`
	GID   int         `json:"gid"`
	Mode  fs.FileMode `json:"mode,omitempty"`
	Major int64       `json:"major,omitempty"`
	Minor int64       `json:"minor,omitempty"`
}

// ReadOwnerTable reads a table; a file that is not there is an empty table.
func ReadOwnerTable(file string) (OwnerTable, error) {
	t := OwnerTable{}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read owners: %w", err)
	}
	if err := json.Unmarshal(data, &t); err != nil {
		return nil, fmt.Errorf("read owners in %s: %w", file, err)
	}
	for name, e := range t {
		if coded, ok := strings.CutPrefix(name, "\x00"); ok {
			p, err := hex.DecodeString(coded)
			if err != nil {
				return nil, fmt.Errorf("read owners in %s: %w", file, err)
			}
			delete(t, name)
			t[string(p)] = e
		}
	}
	return t, nil
}

// write writes a table; an empty one leaves no file.
func (t OwnerTable) write(file string) error {
	if len(t) == 0 {
		return nil
	}
	coded := map[string]OwnerEntry{}
	for p, e := range t {
		if !utf8.ValidString(p) {
			p = "\x00" + hex.EncodeToString([]byte(p))
		}
		coded[p] = e
	}
	data, err := json.Marshal(coded)
	if err != nil {
		return fmt.Errorf("encode owners: %w", err)
	}
	return os.WriteFile(file, data, 0o600)
}

// TreeFiles returns the directory of a tree that holds its files.
func TreeFiles(tree string) string { return filepath.Join(tree, treeFiles) }

// TreeTable returns the file of a tree that holds its [OwnerTable].
func TreeTable(tree string) string { return filepath.Join(tree, treeTable) }

// formatOwner and parseOwner are the text form of the extended attribute.
func formatOwner(uid, gid int, mode fs.FileMode) string {
	return strconv.Itoa(uid) + ":" + strconv.Itoa(gid) + ":0" + strconv.FormatInt(tarMode(mode), 8)
}

// parseOwner reads the owner; the mode is that on disk.
func parseOwner(s string) (uid, gid int, ok bool) {
	parts := strings.Split(s, ":")
	if len(parts) < 3 {
		return 0, 0, false
	}
	uid, ok1 := number(parts[0])
	gid, ok2 := number(parts[1])
	return uid, gid, ok1 && ok2
}
