package layers_test

import (
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kanso-build/kanso/layers"
)

func viewOf(t *testing.T, stack ...[]layers.File) *layers.View {
	t.Helper()
	var lists []layers.Listing
	for _, files := range stack {
		lists = append(lists, listOf(t, files...))
	}
	return layers.NewView(lists)
}

func TestResolveFollowsLinksAsInAChroot(t *testing.T) {
	v := viewOf(t, []layers.File{
		symlink("bin", "usr/bin"), dir("usr", 0o755), dir("usr/bin", 0o755),
		symlink("abs", "/usr/bin"), symlink("up", "../../../usr"), symlink("loop", "loop2"), symlink("loop2", "loop"),
		symlink("dangling", "nowhere/deep"), symlink("usr/bin/python", "python3"),
		symlink("usr/abs", "/usr/bin"), symlink("usr/out", "../../../lib"),
	})
	for p, want := range map[string]string{
		"usr/abs/x": "usr/bin/x", "usr/out/x": "lib/x",
		"/bin/sh": "usr/bin/sh", "abs/x/y": "usr/bin/x/y", "/up/bin": "usr/bin", "/bin/../bin": "bin",
		"/dangling/x": "nowhere/deep/x", "bin/python": "usr/bin/python3", "/": ".", "/a/../../..": ".",
	} {
		got, err := v.Resolve(p)
		if p == "/bin/../bin" {
			want = "usr/bin"
		}
		if err != nil || got != want {
			t.Errorf("Resolve(%q) = %q, %v; want %q", p, got, err, want)
		}
	}
	if _, err := v.Resolve("/loop/x"); err == nil {
		t.Error("a loop was resolved")
	}
	for p, want := range map[string]string{"abs/x": "usr/usr/bin/x", "out/x": "usr/lib/x", "../../x": "usr/x", "bin/../../../x": "usr/x"} {
		if got, err := v.ResolveIn("usr", p); err != nil || got != want {
			t.Errorf("ResolveIn(usr, %q) = %q, %v; want %q", p, got, err, want)
		}
	}
	if e, ok := v.Lstat("/bin/python"); !ok || e.Path != "usr/bin/python" || e.Mode&fs.ModeSymlink == 0 {
		t.Errorf("Lstat(/bin/python) = %+v, %v", e, ok)
	}
}

func TestViewAppliesDeletionsToLowerLayersOnly(t *testing.T) {
	v := viewOf(t,
		[]layers.File{dir("a", 0o755), text("a/x", 0o644, ""), text("a/y", 0o644, ""), dir("b", 0o755), text("b/x", 0o644, ""), text("c", 0o644, "")},
		[]layers.File{text("a/z", 0o644, ""), layers.Opaque("a"), layers.Whiteout("b"), dir("c", 0o700), text("c/d", 0o644, ""), text("b/new", 0o600, "")},
	)
	var got []string
	for _, e := range v.Below("/") {
		got = append(got, e.Mode.String()+" "+e.Path)
	}
	want := []string{"drwxr-xr-x a", "-rw-r--r-- a/z", "drwxr-xr-x b", "-rw------- b/new", "drwx------ c", "-rw-r--r-- c/d"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestUsersByNameAndNumber(t *testing.T) {
	passwd := "root:x:0:0:root:/root:/bin/sh\n# no\napp:x:1000:1001::/home/app:/bin/sh\nbad:x:no:1::/:/\nnohome:x:5:6:::\n"
	group := "root:x:0:\nstaff:x:50:app,other\napp:x:1001:\naudio:x:29:app\n"
	v := viewOf(t, []layers.File{text("etc/passwd", 0o644, passwd), text("etc/group", 0o644, group)})
	for spec, want := range map[string][2]int{
		"app": {1000, 0}, "app:staff": {1000, 50}, "7": {7, 0}, "7:app": {7, 1001}, ":staff": {0, 50}, "0:0": {0, 0},
	} {
		uid, gid, err := v.Owner(spec)
		if err != nil || uid != want[0] || gid != want[1] {
			t.Errorf("Owner(%q) = %d, %d, %v; want %v", spec, uid, gid, err, want)
		}
	}
	for _, spec := range []string{"nobody", "app:nogroup", "bad", "-1", "99999999999"} {
		if _, _, err := v.Owner(spec); err == nil {
			t.Errorf("Owner(%q) found somebody", spec)
		}
	}
	for spec, want := range map[string]layers.UserInfo{
		"":          {Name: "root", Home: "/root"},
		"app":       {Name: "app", UID: 1000, GID: 1001, Home: "/home/app", Groups: []int{29, 50}},
		"1000":      {Name: "app", UID: 1000, GID: 1001, Home: "/home/app", Groups: []int{29, 50}},
		"app:staff": {Name: "app", UID: 1000, GID: 50, Home: "/home/app"},
		"4711":      {UID: 4711, Home: "/"},
		"nohome":    {Name: "nohome", UID: 5, GID: 6, Home: "/"},
	} {
		got, err := v.User(spec)
		if err != nil {
			t.Errorf("User(%q): %v", spec, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("User(%q): %s", spec, d)
		}
	}
	if who, err := viewOf(t).User(""); err != nil || who.Home != "/" {
		t.Errorf("root of an empty image = %+v, %v", who, err)
	}
}
