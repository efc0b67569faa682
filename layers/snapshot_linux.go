package layers

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// snapshotEntry is what tells whether a file is as it was. The time of the
// last change of the inode tells of changes that set the modification time.
type snapshotEntry struct {
	Path  rawName     `json:"p"`
	Mode  fs.FileMode `json:"m"`
	UID   uint32      `json:"u"`
	GID   uint32      `json:"g"`
	Size  int64       `json:"s"`
	Ino   uint64      `json:"i"`
	Mtime [2]int64    `json:"t"`
	Ctime [2]int64    `json:"c"`
}

// A rawName is a path of any bytes, which JSON would not keep.
type rawName string

// MarshalJSON implements [json.Marshaler].
func (n rawName) MarshalJSON() ([]byte, error) { return json.Marshal([]byte(n)) }

// UnmarshalJSON implements [json.Unmarshaler].
func (n *rawName) UnmarshalJSON(data []byte) error {
	var b []byte
	err := json.Unmarshal(data, &b)
	*n = rawName(b)
	return err
}

func snapshotOf(p string, info fs.FileInfo) snapshotEntry {
	e := snapshotEntry{Path: rawName(p), Mode: info.Mode(), Size: info.Size()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		e.UID, e.GID, e.Ino = st.Uid, st.Gid, st.Ino
		e.Mtime[0], e.Mtime[1] = st.Mtim.Unix()
		e.Ctime[0], e.Ctime[1] = st.Ctim.Unix()
	}
	return e
}

// Snapshot notes in a file what is in a tree, so that [Capture] can find what
// changed. Contents are not read.
func Snapshot(ctx context.Context, root, file string) (err error) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	w := bufio.NewWriter(f)
	enc := json.NewEncoder(w)
	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == root {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		return enc.Encode(snapshotOf(rel, info))
	})
	if err == nil {
		err = w.Flush()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	return nil
}

func readSnapshot(file string) (map[string]snapshotEntry, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	defer f.Close()
	all := map[string]snapshotEntry{}
	dec := json.NewDecoder(bufio.NewReader(f))
	for {
		var e snapshotEntry
		err := dec.Decode(&e)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read snapshot: %w", err)
		}
		all[string(e.Path)] = e
	}
}
