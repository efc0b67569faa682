package resolve

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Member is one of a build context that ZenML would have made.
type Member struct {
	Path string `json:"path"`
	// Type is file, dir, symlink, hardlink or fifo.
	Type string `json:"type"`
	// Mode has four octal digits.
	Mode string `json:"mode"`
	// Target is that of a link; a hard link's is a path of the context.
	Target string `json:"target,omitempty"`
	Size   *int64 `json:"size,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	// Generated says that ZenML wrote the file.
	Generated bool `json:"generated,omitempty"`
}

// Members are those of the context, sorted by path. Of files that are one (hard
// links), the first is the file.
func (b Build) Members() ([]Member, error) {
	var list []Member
	for _, name := range b.Generated() {
		list = append(list, Member{Path: name, Type: "file", Mode: "0644", Generated: true})
	}
	var linked linkedFiles
	for _, p := range slices.Sorted(slices.Values(slices.Concat(b.Context.Paths, b.Context.Pipes))) {
		if _, generated := b.Files[p]; generated {
			continue
		}
		m, err := b.member(p, &linked)
		if err != nil {
			return nil, fmt.Errorf("build context: %w", err)
		}
		list = append(list, m)
	}
	slices.SortFunc(list, func(x, y Member) int { return strings.Compare(x.Path, y.Path) })
	return list, nil
}

func (b Build) member(p string, linked *linkedFiles) (Member, error) {
	file := filepath.Join(b.Context.Root, filepath.FromSlash(p))
	info, err := os.Lstat(file)
	if err != nil {
		return Member{}, err
	}
	m := Member{Path: p, Type: "file", Mode: fmt.Sprintf("%04o", unixMode(info.Mode()))}
	switch info.Mode().Type() {
	case fs.ModeDir:
		m.Type = "dir"
	case fs.ModeNamedPipe:
		m.Type = "fifo"
	case fs.ModeSymlink:
		m.Type = "symlink"
		m.Target, err = os.Readlink(file)
	default:
		if first := linked.first(p, info); first != "" {
			m.Type, m.Target = "hardlink", first
			break
		}
		size := info.Size()
		m.Size = &size
		m.SHA256, err = hashFile(file)
	}
	return m, err
}

// unixMode are the permission bits as Unix numbers them.
func unixMode(m fs.FileMode) uint32 {
	bits := uint32(m.Perm())
	for flag, bit := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&flag != 0 {
			bits |= bit
		}
	}
	return bits
}

func hashFile(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
