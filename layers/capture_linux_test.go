package layers_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/kanso-build/kanso/layers"
)

// capturing is what the test binary, started again in namespaces, is to do:
// stack trees, change what they show as named, and write the layer to stdout.
type capturing struct {
	Name    string
	Lowers  []string // trees
	Scratch string
	Copy    bool // instead of an overlay
	Changes layers.Changes
	Options layers.CaptureOptions
}

const capturingEnv = "KANSO_TEST_CAPTURE"

func TestMain(m *testing.M) {
	if job := os.Getenv(capturingEnv); job != "" {
		if err := captureInside(job); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func captureInside(text string) error {
	unix.Umask(0o022)
	var job capturing
	if err := json.Unmarshal([]byte(text), &job); err != nil {
		return err
	}
	var lowers []string
	for _, l := range job.Lowers {
		lowers = append(lowers, layers.TreeFiles(l))
	}
	root := filepath.Join(job.Scratch, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	c := layers.Changes{Lowers: lowers, ChownTable: filepath.Join(job.Scratch, "chown.json"), Skip: job.Changes.Skip}
	ctx := context.Background()
	prepare := stackTrees
	if job.Copy {
		prepare = copyTrees
	}
	if err := prepare(ctx, &c, job.Scratch); err != nil {
		return err
	}
	if err := changes[job.Name](root); err != nil {
		return err
	}
	return layers.Capture(ctx, os.Stdout, c, job.Options)
}

// copyTrees makes the copy that a command changes.
func copyTrees(ctx context.Context, c *layers.Changes, scratch string) error {
	c.Root, c.Before = filepath.Join(scratch, "root"), filepath.Join(scratch, "before")
	if err := layers.Merge(ctx, c.Lowers, c.Root, layers.OwnersXattr); err != nil {
		return err
	}
	return layers.Snapshot(ctx, c.Root, c.Before)
}

// stackTrees mounts the overlay that a command changes.
func stackTrees(_ context.Context, c *layers.Changes, scratch string) error {
	c.Upper = filepath.Join(scratch, "upper")
	work := filepath.Join(scratch, "work")
	for _, d := range []string{c.Upper, work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	o := "userxattr,lowerdir=" + strings.Join(c.Lowers, ":") + ",upperdir=" + c.Upper + ",workdir=" + work
	if err := unix.Mount("overlay", filepath.Join(scratch, "root"), "overlay", 0, o); err != nil {
		return fmt.Errorf("mount overlay: %w", err)
	}
	return nil
}

// changes are what commands do to the tree that they see.
var changes = map[string]func(root string) error{"everything": changeEverything, "pyc": changePyc}

// lines describes the entries of a layer.
func lines(l layers.Listing) []string {
	var list []string
	for _, e := range l.Entries {
		line := e.Mode.String() + " " + e.Path
		switch {
		case e.Whiteout:
			line = "Whiteout " + e.Path
		case e.Opaque:
			line = "Opaque " + e.Path
		case e.HardLink:
			line = "hard link " + e.Path
		}
		if e.UID != 0 || e.GID != 0 {
			line += fmt.Sprintf(" %d:%d", e.UID, e.GID)
		}
		list = append(list, line)
	}
	return list
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

// capture runs a job and returns the layer and the job's scratch directory.
func capture(t *testing.T, job capturing) ([]byte, string) {
	t.Helper()
	job.Scratch = t.TempDir()
	t.Cleanup(func() { _ = layers.RemoveAll(job.Scratch) })
	text, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), capturingEnv+"="+string(text))
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	return out.Bytes(), job.Scratch
}

func changeEverything(root string) error {
	at := func(p string) string { return filepath.Join(root, p) }
	touch := time.Unix(2e9, 0)
	steps := []error{
		os.WriteFile(at("d/new"), []byte("new"), 0o640),
		os.Link(at("d/new"), at("d/again")),
		os.Remove(at("d/old")),
		os.Chmod(at("d/mode"), 0o4755&0o777|fs.ModeSetuid),
		os.Chtimes(at("d/touched"), touch, touch),
		os.Chtimes(at("touchdir"), touch, touch),
		os.WriteFile(at("d/same"), []byte("same"), 0o644),
		os.RemoveAll(at("replaced")),
		os.Mkdir(at("replaced"), 0o700),
		os.WriteFile(at("replaced/fresh"), []byte("f"), 0o644),
		os.RemoveAll(at("dir2file")),
		os.WriteFile(at("dir2file"), []byte("now a file"), 0o644),
		os.Remove(at("file2dir")),
		os.Mkdir(at("file2dir"), 0o755),
		os.RemoveAll(at("gone")),
		os.Symlink("/x", at("link")),
		unix.Mkfifo(at("pipe"), 0o600),
		os.WriteFile(at("owned.tmp"), []byte("rewritten"), 0o640),
		os.Chmod(at("owned.tmp"), 0o640),
		unix.Setxattr(at("owned.tmp"), "user.containers.kept_owner", []byte("y"), 0), // as when it is given the owner that shows
		os.Rename(at("owned.tmp"), at("owned")),
		os.WriteFile(at("mnt"), nil, 0o644),
		os.MkdirAll(at("run/kanso/deep"), 0o755),
		os.WriteFile(at("run/kanso/deep/below"), nil, 0o644),
		os.Mkdir(at("emptied"), 0o755),
		os.WriteFile(at("born-and-dead"), nil, 0o644),
		os.Remove(at("born-and-dead")),
		os.Mkdir(at("secret"), 0),
	}
	for i, err := range steps {
		if err != nil {
			return fmt.Errorf("change %d: %w", i, err)
		}
	}
	return nil
}

func TestCaptureFindsWhatChangedAndNothingElse(t *testing.T) {
	base := unpack(t, tarOf(t,
		dir("d", 0o755), text("d/old", 0o644, "old"), text("d/mode", 0o755, "m"), text("d/touched", 0o644, "t"), text("d/same", 0o644, "same"),
		dir("touchdir", 0o755),
		dir("replaced", 0o755), text("replaced/stale", 0o644, ""),
		dir("dir2file", 0o755), text("dir2file/x", 0o644, ""), text("file2dir", 0o644, ""),
		dir("gone", 0o755), text("gone/x", 0o644, ""),
		layers.File{Path: "owned", Mode: 0o640, GID: 42}, dir("run", 0o755),
	))
	want := []string{
		"drwxr-xr-x d", "Whiteout d/old", "-rw-r----- d/again", "urwxr-xr-x d/mode", "hard link d/new",
		"Whiteout gone", "-rw-r--r-- dir2file", "drwxr-xr-x emptied", "drwxr-xr-x file2dir", "Lrwxrwxrwx link", "-rw-r----- owned 0:42", "prw------- pipe",
		"drwx------ replaced", "Whiteout replaced/stale", "-rw-r--r-- replaced/fresh", "d--------- secret",
	}
	for _, copied := range []bool{false, true} {
		t.Run(map[bool]string{false: "overlay", true: "copy"}[copied], func(t *testing.T) {
			data, scratch := capture(t, capturing{
				Name: "everything", Lowers: []string{base}, Copy: copied,
				Changes: layers.Changes{Skip: []string{"/mnt", "/run/kanso/deep"}},
				Options: layers.CaptureOptions{Owners: layers.OwnersXattr, Time: time.Unix(1e9, 0), Settle: !copied},
			})
			list, err := layers.List(t.Context(), bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(sorted(want), sorted(lines(list))); d != "" {
				t.Error(d)
			}
			if copied {
				return
			}
			// The upper directory, settled, is what the layer unpacks to.
			if err := os.Chmod(filepath.Join(scratch, "upper/secret"), 0o500); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(scratch, "upper"), filepath.Join(scratch, "fs")); err != nil {
				t.Fatal(err)
			}
			again := unpack(t, data, base)
			if err := os.Chmod(filepath.Join(layers.TreeFiles(again), "secret"), 0o500); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(onDisk(t, again), onDisk(t, scratch)); d != "" {
				t.Error(d)
			}
		})
	}
}

func changePyc(root string) error {
	if err := os.MkdirAll(filepath.Join(root, "lib/__pycache__"), 0o755); err != nil {
		return err
	}
	source := filepath.Join(root, "lib/m.py")
	if err := os.WriteFile(source, []byte("x = 1\n"), 0o644); err != nil {
		return err
	}
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	h := make([]byte, 20)
	binary.LittleEndian.PutUint32(h[8:], uint32(info.ModTime().Unix()))
	return os.WriteFile(filepath.Join(root, "lib/__pycache__/m.cpython-311.pyc"), h, 0o444)
}

func TestCompiledFilesGoOnMatchingTheirSources(t *testing.T) {
	base := unpack(t, tarOf(t, dir("etc", 0o755)))
	for _, keep := range []bool{false, true} {
		data, _ := capture(t, capturing{
			Name: "pyc", Lowers: []string{base},
			Options: layers.CaptureOptions{Owners: layers.OwnersXattr, Time: time.Unix(1e9, 0), KeepPyc: keep, Settle: true},
		})
		tree := unpack(t, data, base)
		info, err := os.Stat(filepath.Join(layers.TreeFiles(tree), "lib/m.py"))
		if err != nil {
			t.Fatal(err)
		}
		pyc, err := os.ReadFile(filepath.Join(layers.TreeFiles(tree), "lib/__pycache__/m.cpython-311.pyc"))
		if err != nil {
			t.Fatal(err)
		}
		if got := binary.LittleEndian.Uint32(pyc[8:]); int64(got) != info.ModTime().Unix() {
			t.Errorf("keep %v: .pyc names %d, the source is of %d", keep, got, info.ModTime().Unix())
		}
		if fixed := info.ModTime().Equal(time.Unix(1e9, 0)); fixed == keep {
			t.Errorf("keep %v: the source is of %v", keep, info.ModTime())
		}
	}
}
