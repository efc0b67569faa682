package layers

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"strings"
	"unicode/utf8"
)

// An Entry is what one entry of a layer says, without its content.
type Entry struct {
	// Path is as in [File]; the root is ".".
	Path     string      `json:"path"`
	Mode     fs.FileMode `json:"mode,omitempty"`
	UID      int         `json:"uid,omitempty"`
	GID      int         `json:"gid,omitempty"`
	Size     int64       `json:"size,omitempty"` // of a regular file, in bytes
	Link     string      `json:"link,omitempty"` // of a hard link: a path like Path
	HardLink bool        `json:"hard_link,omitempty"`
	// Whiteout says that Path is deleted, Opaque that what lower layers have
	// below the directory Path is.
	Whiteout bool `json:"whiteout,omitempty"`
	Opaque   bool `json:"opaque,omitempty"`
	// Sum is the sha256, in hexadecimal, of a regular file's content. Lists
	// have it; [Each] does not read contents.
	Sum string `json:"sum,omitempty"`
	// Time is the modification time in seconds since 1970.
	Time int64 `json:"time,omitempty"`
	// Xattrs are those that belong to an image, by their full names.
	Xattrs map[string][]byte `json:"xattrs,omitempty"`
	// Major and Minor are the numbers of a device.
	Major int64 `json:"major,omitempty"`
	Minor int64 `json:"minor,omitempty"`

	// The others are set by a [View] alone. List is the number of the list, from
	// 0 at the bottom, that has the content of a regular file, and From its path
	// there. Names of one file have one Inode, which nothing else has.
	List  int    `json:"-"`
	From  string `json:"-"`
	Inode int    `json:"-"`
}

// A Listing says what a layer holds. It can be kept as JSON.
type Listing struct {
	Entries []Entry `json:"entries"`
	// Files has the contents of the small files that facts are read from:
	// etc/passwd and etc/group.
	Files map[string][]byte `json:"files,omitempty"`
}

// content reads a file on its way into a list.
type content struct {
	io.Reader
	e    Entry
	sum  hash.Hash
	data *bytes.Buffer // nil if the list does not keep the content
}

// begin returns a reader that has to be read to its end, and given to
// [Listing.end] then.
func (l *Listing) begin(e Entry, r io.Reader) *content {
	c := &content{Reader: r, e: e}
	if !e.Mode.IsRegular() || e.HardLink || e.Whiteout || e.Opaque {
		return c
	}
	c.sum = sha256.New()
	c.Reader = io.TeeReader(c.Reader, c.sum)
	if kept(e.Path) && e.Size <= keptLimit {
		c.data = &bytes.Buffer{}
		c.Reader = io.TeeReader(c.Reader, c.data)
	}
	return c
}

// end adds the entry.
func (l *Listing) end(c *content) {
	if c.sum != nil {
		c.e.Sum = hex.EncodeToString(c.sum.Sum(nil))
	}
	l.Entries = append(l.Entries, c.e)
	if c.data != nil {
		l.Keep(c.e.Path, c.data.Bytes())
	}
}

// Keeps says whether the content of a file belongs in Files.
func (l *Listing) Keeps(e Entry) bool {
	return kept(e.Path) && e.Mode.IsRegular() && !e.HardLink && e.Size <= keptLimit
}

// Keep adds a content to Files.
func (l *Listing) Keep(p string, data []byte) {
	if l.Files == nil {
		l.Files = map[string][]byte{}
	}
	l.Files[p] = data
}

// Users is the part of the list that says who the users are: that of etc, and all
// of it if links may lead to them.
func (l Listing) Users() Listing {
	out := Listing{Files: l.Files}
	for _, e := range l.Entries {
		if e.Path != "." && e.Path != "etc" && !kept(e.Path) {
			continue
		}
		if e.Mode&fs.ModeSymlink != 0 || e.HardLink {
			return l
		}
		out.Entries = append(out.Entries, e)
	}
	return out
}

// An oddName has the names of an entry that JSON cannot hold: they are bytes,
// not text.
type oddName struct {
	At   int    `json:"at"` // in Entries
	Path []byte `json:"path"`
	Link []byte `json:"link,omitempty"`
}

// bareListing is a Listing without methods, as it stands in JSON.
type bareListing struct {
	Entries []Entry           `json:"entries"`
	Files   map[string][]byte `json:"files,omitempty"`
	Odd     []oddName         `json:"odd,omitempty"`
}

// MarshalJSON implements [json.Marshaler]. Names keep their bytes, whatever
// these are.
func (l Listing) MarshalJSON() ([]byte, error) {
	out := bareListing{Entries: l.Entries, Files: l.Files}
	for i, e := range l.Entries {
		if !utf8.ValidString(e.Path) || !utf8.ValidString(e.Link) {
			out.Odd = append(out.Odd, oddName{i, []byte(e.Path), []byte(e.Link)})
		}
	}
	return json.Marshal(out)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (l *Listing) UnmarshalJSON(data []byte) error {
	var in bareListing
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*l = Listing{Entries: in.Entries, Files: in.Files}
	for _, odd := range in.Odd {
		if odd.At < 0 || odd.At >= len(l.Entries) {
			return fmt.Errorf("entry %d of %d has an odd name", odd.At, len(l.Entries))
		}
		l.Entries[odd.At].Path, l.Entries[odd.At].Link = string(odd.Path), string(odd.Link)
	}
	return nil
}

// CapabilityXattr is the attribute that holds what a program may do beyond its
// user.
const CapabilityXattr = "security.capability"

// portable says whether an extended attribute belongs to the image and not to
// the way in which it is unpacked.
func portable(name string) bool {
	if strings.HasPrefix(name, "user.overlay.") || strings.HasPrefix(name, "user.containers.") {
		return false
	}
	return strings.HasPrefix(name, "user.") || name == CapabilityXattr
}
