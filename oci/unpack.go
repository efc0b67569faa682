package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/resolve/plan"
)

// archiveKind is the kind of value under which the store keeps what archives
// hold, by the sha256 of their bytes.
const archiveKind = "archive"

// The bounds of an archive that is unpacked, so that a small one does not fill
// the disk: of its entries, of their bytes, and how many times its own size these
// may be once they are more than freeBytes.
const (
	archiveEntries = 2_000_000
	archiveBytes   = 64 << 30
	archiveRatio   = 1000
	freeBytes      = 1 << 30
)

// limits are Max with our defaults.
func (b *Builder) limits() layers.Limits {
	l := b.Max
	if l.Entries == 0 {
		l.Entries = archiveEntries
	}
	if l.Bytes == 0 {
		l.Bytes = archiveBytes
	}
	return l
}

// unpack unpacks a file that is an archive, if the step unpacks such.
func (p *placer) unpack(ctx context.Context, e layers.Entry, spooled *spool) (done bool, err error) {
	if p.c.Unpack == plan.UnpackNo || p.c.From.URL != "" && p.c.Unpack != plan.UnpackAll || !e.Mode.IsRegular() {
		return false, nil
	}
	file, err := p.src.file(e)
	if err != nil || file.Open == nil {
		return false, err
	}
	if file.load != nil {
		if file.sum, err = file.load(); err != nil {
			return false, err
		}
	}
	list, isArchive, err := p.t.b.archive(ctx, file)
	if err != nil || !isArchive {
		return false, err
	}
	dest, err := p.t.view.Resolve(p.c.Dest)
	if err != nil {
		return false, err
	}
	if err := p.t.mkdirAll(dest, 0o755); err != nil {
		return false, err
	}
	u := unpacker{t: p.t, root: dest, spool: spooled, id: "archive " + file.sum, open: file.Open, seen: map[string]int{}}
	for _, e := range list.Entries {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		if err := u.entry(ctx, e); err != nil {
			return false, fmt.Errorf("unpack /%s: %w", e.Path, err)
		}
	}
	return true, nil
}

// archived is what the store keeps of a file that might have been an archive.
type archived struct {
	Is   bool           `json:"is"`
	List layers.Listing `json:"list,omitzero"`
}

// archive says what an archive holds, and whether a file is one.
func (b *Builder) archive(ctx context.Context, file entry) (layers.Listing, bool, error) {
	var a archived
	data, ok, err := b.Store.Value(archiveKind, file.sum)
	if err == nil && ok && json.Unmarshal(data, &a) == nil {
		return a.List, a.Is, b.acceptable(a.List, file.Size)
	}
	r, err := file.Open()
	if err != nil {
		return a.List, false, err
	}
	a.List, a.Is, err = b.readArchive(ctx, r, file.Size)
	if e := r.Close(); err == nil {
		err = e
	}
	if err != nil {
		return a.List, false, err
	}
	if data, err = json.Marshal(a); err != nil {
		return a.List, false, err
	}
	return a.List, a.Is, b.Store.PutValue(archiveKind, file.sum, data)
}

// bounds are the limits of an archive of so many bytes.
func (b *Builder) bounds(size int64) layers.Limits {
	l := b.limits()
	l.Bytes = min(l.Bytes, max(freeBytes, size*archiveRatio))
	return l
}

func (b *Builder) readArchive(ctx context.Context, r io.Reader, size int64) (list layers.Listing, is bool, err error) {
	in, isTar, err := layers.OpenArchive(r)
	if err != nil || !isTar {
		return list, false, nil // what cannot be read is no archive, but a file
	}
	defer in.Close()
	if list, err = layers.ListWithin(ctx, in, b.bounds(size)); err != nil {
		return list, false, err
	}
	return list, len(list.Entries) > 0, nil
}

// acceptable says whether an archive that was read before is within the limits
// of now.
func (b *Builder) acceptable(list layers.Listing, size int64) error {
	max, n := b.bounds(size), int64(0)
	for _, e := range list.Entries {
		n += e.Size
	}
	if n > max.Bytes || len(list.Entries) > max.Entries {
		return fmt.Errorf("archive has %d entries and %d bytes, more than %d and %d", len(list.Entries), n, max.Entries, max.Bytes)
	}
	return nil
}

// unpacker unpacks one archive into a directory of the image. For its paths
// and links that directory is the root, as in a chroot.
type unpacker struct {
	t     *target
	root  string
	spool *spool
	id    string // of the archive, for the spool
	open  func() (io.ReadCloser, error)
	seen  map[string]int // how often there was a file of a name
}

func (u *unpacker) entry(ctx context.Context, e layers.Entry) error {
	if e.Whiteout || e.Opaque {
		return errors.New("a name that begins with .wh. would mean a deletion in a layer")
	}
	if e.Path == "." {
		return nil
	}
	at, err := u.parent(e.Path)
	if err != nil {
		return err
	}
	there, ok := u.t.view.Lstat(at)
	merge := ok && there.Mode.IsDir() && e.Mode.IsDir()
	if ok && !merge {
		u.t.remove(at)
	}
	if e.HardLink {
		return u.link(e, at)
	}
	out := entry{File: fileOf(e)}
	out.Path, out.Mode = at, chmod{}.apply(e.Mode)
	keepCapabilities(&out)
	if merge {
		addAttributes(&out, there)
	}
	if e.Mode.IsRegular() {
		name := nth(e.Path, u.seen[e.Path])
		u.seen[e.Path]++
		u.spool.want(u.id, name, u.tar)
		out.content, out.sum = e.Sum, e.Sum
		out.Open = func() (io.ReadCloser, error) { return u.spool.open(ctx, u.id, name) }
	}
	return u.t.put(u.t.owned(out))
}

// tar is the archive, uncompressed.
func (u *unpacker) tar() (io.ReadCloser, error) {
	r, err := u.open()
	if err != nil {
		return nil, err
	}
	in, _, err := layers.OpenArchive(r)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return &nested{in, r}, nil
}

// parent makes the directories above a path, root's if nothing is said of them,
// and returns where the path lies.
func (u *unpacker) parent(p string) (string, error) {
	if err := u.leads(path.Dir(p)); err != nil {
		return "", err
	}
	dir, err := u.t.view.ResolveIn(u.root, path.Dir(p))
	if err != nil {
		return "", err
	}
	roots := *u.t
	roots.has = false
	return path.Join(dir, path.Base(p)), roots.mkdirAll(dir, 0o755)
}

// leads is nil if no link on a path leads nowhere.
func (u *unpacker) leads(dir string) error {
	if dir == "." {
		return nil
	}
	if err := u.leads(path.Dir(dir)); err != nil {
		return err
	}
	above, err := u.t.view.ResolveIn(u.root, path.Dir(dir))
	if err != nil {
		return err
	}
	e, ok := u.t.view.Lstat(path.Join(above, path.Base(dir)))
	if !ok || e.Mode.Type() != fs.ModeSymlink {
		return nil
	}
	to, err := u.t.view.ResolveIn(u.root, dir)
	if err != nil {
		return err
	}
	if _, ok := u.t.view.Lstat(to); !ok {
		return fmt.Errorf("the link /%s leads nowhere", dir)
	}
	return nil
}

// link makes another name of a file that came before.
func (u *unpacker) link(e layers.Entry, at string) error {
	dir, err := u.t.view.ResolveIn(u.root, path.Dir(e.Link))
	if err != nil {
		return err
	}
	from := path.Join(dir, path.Base(e.Link))
	first, ok := u.t.set[from]
	if !ok || first.Mode.IsDir() {
		return fmt.Errorf("it is a link to /%s, which the archive does not have before", e.Link)
	}
	if first.Mode.Type() != fs.ModeSymlink && first.links == 0 {
		u.t.links++
		first.links = u.t.links
		u.t.set[from] = first
	}
	first.Path = at
	return u.t.put(first)
}

// addAttributes adds those that a directory has and does not get anew.
func addAttributes(out *entry, there layers.Entry) {
	for name, value := range there.Xattrs {
		if _, ok := out.Xattrs[name]; ok {
			continue
		}
		if out.Xattrs == nil {
			out.Xattrs = map[string]string{}
		}
		out.Xattrs[name] = string(value)
	}
}
