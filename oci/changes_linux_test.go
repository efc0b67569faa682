package oci_test

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve/plan"
)

// Names that tools trip over.
const (
	longest = 255
	odd     = "line\nbreak"
	invalid = "not\xff\xfeUTF-8"
)

// capability is one that setcap would write: cap_net_bind_service+ep.
const capability = "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// before is what the command of the test finds.
func before() []layers.File {
	d := func(p string, mode fs.FileMode, uid, gid int) layers.File {
		return layers.File{Path: p, Mode: fs.ModeDir | mode, UID: uid, GID: gid}
	}
	owned := func(f layers.File, uid, gid int) layers.File {
		f.UID, f.GID = uid, gid
		return f
	}
	capable := file("d/capable", "c", 0o755)
	capable.Xattrs = map[string]string{"security.capability": capability, "user.note": "old"}
	return []layers.File{
		d("d", 0o755, 0, 0), file("d/changed", "old", 0o644), file("d/deleted", "", 0o644), file("d/mode", "m", 0o644), file("d/touched", "t", 0o644),
		file("d/same", "same", 0o644), capable, file("d/noted", "n", 0o644), owned(file("d/owned", "o", 0o640), 0, 42), file("d/unreadable", "u", 0),
		{Path: "d/link", Mode: fs.ModeSymlink | 0o777, Link: "x", UID: 5, GID: 6}, {Path: "d/pipe", Mode: fs.ModeNamedPipe | 0o600},
		d("emptied", 0o755, 0, 0), file("emptied/a", "", 0o644), d("emptied/b", 0o755, 0, 0), file("emptied/b/c", "", 0o644),
		d("group", 0o755, 0, 0), file("group/one", "1", 0o644), {Path: "group/two", Mode: 0o644, Link: "group/one", HardLink: true}, file("group/zero", "0", 0o644),
		d("home", 0o755, 0, 0), d("home/app", 0o700, 1000, 1001), owned(file("home/app/rc", "rc", 0o600), 1000, 1001),
		owned(file("d/edited", "old", 0o640), 0, 42), owned(file("d/anew", "old", 0o644), 1000, 1001), d("shared", 0o775|fs.ModeSetgid, 0, 2000),
		d("moved", 0o750, 7, 8), owned(file("moved/f", "f", 0o600), 7, 8),
		d("names", 0o755, 0, 0), file("names/"+strings.Repeat("n", longest), "", 0o644), file("names/"+odd, "", 0o644), file("names/"+invalid, "", 0o644),
		d("renewed", 0o755, 0, 0), d("renewed/sub", 0o755, 0, 0), file("renewed/sub/gone", "", 0o644), file("renewed/stays", "s", 0o644), file("renewed/gone", "", 0o644),
		d("srv", 0o711, 5, 0), d("srv/closed", 0o555, 0, 0), d("srv/closed/deep", 0o700|fs.ModeSticky, 0, 9),
		d("types", 0o755, 0, 0), d("types/dir2file", 0o755, 0, 0), file("types/dir2file/x", "", 0o644), file("types/file2dir", "", 0o644),
		d("types/dir2link", 0o755, 0, 0), file("types/dir2link/x", "", 0o644), {Path: "types/link2dir", Mode: fs.ModeSymlink | 0o777, Link: "/d"}, file("types/file2pipe", "", 0o644),
	}
}

// changeEverything is what commands do to files.
func changeEverything(...string) error {
	touch := time.Unix(2e9, 0)
	steps := []func() error{
		func() error { return os.WriteFile("/d/changed", []byte("new"), 0o600) },
		func() error { return os.Remove("/d/deleted") },
		func() error { return os.Chmod("/d/mode", 0o755|fs.ModeSetuid|fs.ModeSetgid) },
		func() error { return os.Chtimes("/d/touched", touch, touch) },
		func() error {
			return errors.Join(os.WriteFile("/d/new", []byte("same"), 0o644), os.Rename("/d/new", "/d/same"))
		},
		func() error { return unix.Setxattr("/d/capable", "user.note", []byte("new"), 0) },
		func() error { return unix.Setxattr("/d/noted", "security.capability", []byte(capability), 0) },
		func() error { return errors.Join(os.Chmod("/d/owned", 0o600), os.Chown("/d/owned", 33, -1)) },
		func() error { return os.Chmod("/d/unreadable", 0o100) },
		func() error { return errors.Join(os.Lchown("/d/link", 50, -1), os.Chtimes("/d", touch, touch)) },
		func() error { return errors.Join(os.RemoveAll("/emptied/a"), os.RemoveAll("/emptied/b")) },
		func() error { return appendTo("/group/one", "more") },
		func() error { return os.Link("/group/zero", "/group/another") },
		func() error {
			return errors.Join(os.RemoveAll("/home/app"), os.Mkdir("/home/app", 0o700), os.WriteFile("/home/app/rc", []byte("rc"), 0o600))
		},
		func() error { return edit("/d/edited") },
		func() error { return errors.Join(os.Remove("/d/anew"), os.WriteFile("/d/anew", []byte("new"), 0o644)) },
		func() error {
			return errors.Join(os.WriteFile("/shared/f", nil, 0o644), os.Mkdir("/shared/d", 0o755), os.WriteFile("/shared/d/f", nil, 0o644))
		},
		func() error { return move("/moved", "/elsewhere") },
		changeNames,
		func() error {
			return errors.Join(os.RemoveAll("/renewed"), os.Mkdir("/renewed", 0o755), os.Mkdir("/renewed/sub", 0o755), os.WriteFile("/renewed/stays", []byte("s"), 0o644))
		},
		func() error { return os.WriteFile("/srv/closed/deep/f", nil, 0o644) },
		changeTypes,
		makeThings,
		func() error {
			return errors.Join(os.WriteFile("/short", nil, 0o644), os.Remove("/short"), os.Chmod("/", 0o711))
		},
	}
	for i, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("change %d: %w", i, err)
		}
	}
	return nil
}

func appendTo(p, text string) error {
	f, err := os.OpenFile(p, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// edit writes a file anew, for the owner that it has.
func edit(p string) error {
	info, err := os.Stat(p)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New("no owner")
	}
	return errors.Join(os.WriteFile(p+".new", []byte("edited"), 0o600), os.Chown(p+".new", int(st.Uid), int(st.Gid)), os.Chmod(p+".new", 0o640), os.Rename(p+".new", p))
}

// move does what mv does where a directory cannot be renamed.
func move(from, to string) error {
	if err := os.Rename(from, to); err == nil {
		return nil
	}
	return errors.Join(os.Mkdir(to, 0o750), os.Chmod(to, 0o750), os.Chown(to, 7, 8), os.WriteFile(to+"/f", []byte("f"), 0o600),
		os.Chown(to+"/f", 7, 8), os.RemoveAll(from))
}

func changeNames() error {
	var errs []error
	for _, name := range []string{strings.Repeat("n", longest), odd, invalid} {
		fresh := "x" + name[1:]
		errs = append(errs, os.Remove("/names/"+name), os.WriteFile("/names/"+fresh, nil, 0o644), os.Symlink("a", "/names/l"+name[2:]), os.Lchown("/names/l"+name[2:], 3, 4))
	}
	return errors.Join(errs...)
}

func changeTypes() error {
	return errors.Join(
		os.RemoveAll("/types/dir2file"), os.WriteFile("/types/dir2file", nil, 0o644), os.Remove("/types/file2dir"), os.Mkdir("/types/file2dir", 0o700),
		os.RemoveAll("/types/dir2link"), os.Symlink("/d", "/types/dir2link"), os.Remove("/types/link2dir"), os.Mkdir("/types/link2dir", 0o755),
		os.WriteFile("/types/link2dir/f", nil, 0o644), os.Remove("/types/file2pipe"), unix.Mkfifo("/types/file2pipe", 0o640),
	)
}

func makeThings() error {
	f, err := os.Create("/made-sparse")
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte("end"), 1<<20)
	l, lerr := net.Listen("unix", "/made-socket")
	if lerr == nil {
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		lerr = l.Close()
	}
	return errors.Join(err, f.Close(), lerr,
		os.Mkdir("/made-dir", 0o755), os.Chown("/made-dir", 1000, 1001), os.Chmod("/made-dir", 0o777|fs.ModeSticky|fs.ModeSetgid),
		os.WriteFile("/made-dir/a", []byte("a"), 0o644), os.Link("/made-dir/a", "/made-dir/b"), os.Chown("/made-dir/b", 9, 10), os.Chmod("/made-dir/a", 0),
		os.Mkdir("/made-locked", 0), os.Symlink("to", "/made-link"), os.Lchown("/made-link", 11, 12), unix.Mkfifo("/made-pipe", 0o600), os.Chown("/made-pipe", 13, 14),
	)
}

func TestALayerHoldsWhatChangedInEveryWay(t *testing.T) {
	base := runBase(t, append(usual(), before()...)...)
	long := strings.Repeat("n", longest)
	want := []string{
		"0 0644 0:0 d/changed 3", "0 0000 0:0 d/.wh.deleted 0", "0 6755 0:0 d/mode 1", "0 0755 0:0 d/capable 1 security.capability user.note=new",
		"0 0644 0:0 d/noted 1 security.capability", "0 0600 33:42 d/owned 1", "0 0100 0:0 d/unreadable 1", "2 0777 50:6 d/link x", "5 0755 0:0 d/",
		"0 0640 0:42 d/edited 6", "0 0644 0:0 d/anew 3",
		"5 2775 0:2000 shared/", "0 0644 0:2000 shared/f 0", "5 2755 0:2000 shared/d/", "0 0644 0:2000 shared/d/f 0",
		"5 0755 0:0 emptied/", "0 0000 0:0 emptied/.wh.a 0", "0 0000 0:0 emptied/.wh.b 0",
		"5 0755 0:0 group/", "0 0644 0:0 group/one 5", "0 0644 0:0 group/another 1",
		"5 0755 0:0 home/", "5 0700 0:0 home/app/", "0 0600 0:0 home/app/rc 2",
		"0 0000 0:0 .wh.moved 0", "5 0750 7:8 elsewhere/", "0 0600 7:8 elsewhere/f 1",
		"5 0755 0:0 names/", "0 0000 0:0 names/.wh." + long + " 0", "0 0000 0:0 names/.wh." + odd + " 0", "0 0000 0:0 names/.wh." + invalid + " 0",
		"0 0644 0:0 names/x" + long[1:] + " 0", "0 0644 0:0 names/x" + odd[1:] + " 0", "0 0644 0:0 names/x" + invalid[1:] + " 0",
		"2 0777 3:4 names/l" + long[2:] + " a", "2 0777 3:4 names/l" + odd[2:] + " a", "2 0777 3:4 names/l" + invalid[2:] + " a",
		"5 0755 0:0 renewed/", "5 0755 0:0 renewed/sub/", "0 0000 0:0 renewed/.wh.gone 0", "0 0000 0:0 renewed/sub/.wh.gone 0",
		"5 0711 5:0 srv/", "5 0555 0:0 srv/closed/", "5 1700 0:9 srv/closed/deep/", "0 0644 0:0 srv/closed/deep/f 0",
		"5 0755 0:0 types/", "0 0644 0:0 types/dir2file 0", "5 0700 0:0 types/file2dir/", "2 0777 0:0 types/dir2link /d", "5 0755 0:0 types/link2dir/",
		"0 0644 0:0 types/link2dir/f 0", "6 0640 0:0 types/file2pipe",
		"0 0644 0:0 made-sparse 1048579", "5 3777 1000:1001 made-dir/", "0 0000 9:10 made-dir/a 1", "1 0000 9:10 made-dir/b made-dir/a",
		"5 0000 0:0 made-locked/", "2 0777 11:12 made-link to", "6 0600 13:14 made-pipe",
	}
	slices.Sort(want)
	for name, w := range ways() {
		t.Run(name, func(t *testing.T) {
			b, out := running(t, w, nil)
			img, err := b.Build(t.Context(), plan.Plan{Stages: []plan.Stage{{Base: base, Steps: []plan.Step{run("change"), run("look", "renewed", "home", "d")}}}})
			if err != nil {
				t.Fatal(err, out)
			}
			got := headers(t, img, 2)
			slices.Sort(got)
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			// The next command finds what the layer says.
			again, unpacked := running(t, w, nil)
			ref := "oci:" + filepath.Join(t.TempDir(), "changed") + ":1"
			output, err := oci.ParseOutput(ref)
			if err != nil {
				t.Fatal(err)
			}
			if err := oci.WriteArchive(t.Context(), output, img, "x:1"); err != nil {
				t.Fatal(err)
			}
			build(t, again, ref, run("look", "renewed", "home", "d"))
			if d := cmp.Diff(unpacked.String(), out.String()); d != "" {
				t.Errorf("unpacked from the layer it is another tree: %s", d)
			}
		})
	}
}

// look prints all that is below directories, times too.
func look(args ...string) error {
	for _, root := range args {
		err := filepath.WalkDir("/"+root, func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err == nil {
				fmt.Println(info.Mode(), info.ModTime().Unix(), p)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	info, err := os.Stat("/")
	if err == nil {
		fmt.Println(info.Mode())
	}
	return err
}

// headers lists the tar headers of the layers above some: type, mode, owner,
// name, size or link, and attributes.
func headers(t *testing.T, img *oci.Image, below int) []string {
	t.Helper()
	ls, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, l := range ls[below:] {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		tr := tar.NewReader(r)
		for {
			h, err := tr.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, headerLine(h))
		}
		r.Close()
	}
	return lines
}

func headerLine(h *tar.Header) string {
	line := fmt.Sprintf("%c %04o %d:%d %s", h.Typeflag, h.Mode, h.Uid, h.Gid, h.Name)
	switch h.Typeflag {
	case tar.TypeReg:
		line += fmt.Sprint(" ", h.Size)
	case tar.TypeLink, tar.TypeSymlink:
		line += " " + h.Linkname
	}
	if v, ok := h.PAXRecords["SCHILY.xattr.security.capability"]; ok {
		line += " security.capability"
		if v != capability {
			line += " of another value"
		}
	}
	if v, ok := h.PAXRecords["SCHILY.xattr.user.note"]; ok {
		line += " user.note=" + v
	}
	return line
}
