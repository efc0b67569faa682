package oci_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve/plan"
)

// replace writes a file and gives it the time that it had.
func (c *pastCase) replace(t *testing.T, file, content string) {
	t.Helper()
	at := filepath.Join(c.b.Context, file)
	info, err := os.Stat(at)
	if err == nil {
		err = errors.Join(os.WriteFile(at, []byte(content), 0o600), os.Chtimes(at, info.ModTime(), info.ModTime()))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// alter changes a step of the plan.
func alter[S plan.Step](c *pastCase, nth int, change func(*S)) {
	for i, step := range c.p.Stages[0].Steps {
		s, ok := step.(S)
		if !ok {
			continue
		}
		if nth--; nth < 0 {
			change(&s)
			c.p.Stages[0].Steps[i] = s
			return
		}
	}
}

// changes are what a build may differ in from one that was done, each alone. Those
// that give the same image say so.
func changes() map[string]struct {
	change func(t *testing.T, c *pastCase, b *oci.Builder)
	same   bool
} {
	type change = struct {
		change func(t *testing.T, c *pastCase, b *oci.Builder)
		same   bool
	}
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	return map[string]change{
		"content":             {func(t *testing.T, c *pastCase, _ *oci.Builder) { c.replace(t, "run.py", "print(2)") }, false},
		"content in patterns": {func(t *testing.T, c *pastCase, _ *oci.Builder) { c.replace(t, "data/a", "AAAA") }, false},
		"executable": {func(t *testing.T, c *pastCase, _ *oci.Builder) {
			must(t, os.Chmod(filepath.Join(c.b.Context, "src/lib.py"), 0o700))
		}, false},
		"mode": {func(t *testing.T, c *pastCase, _ *oci.Builder) {
			must(t, os.Chmod(filepath.Join(c.b.Context, "data/b"), 0o640))
		}, false},
		"mode of a directory": {func(t *testing.T, c *pastCase, _ *oci.Builder) {
			must(t, os.Chmod(filepath.Join(c.b.Context, "data"), 0o711))
		}, true},
		"link": {func(t *testing.T, c *pastCase, _ *oci.Builder) {
			must(t, os.Remove(filepath.Join(c.b.Context, "data/link")))
			link(t, c.b.Context, "data/link", "b")
		}, false},
		"link becomes file": {func(t *testing.T, c *pastCase, _ *oci.Builder) {
			must(t, os.Remove(filepath.Join(c.b.Context, "data/link")))
			write(t, c.b.Context, "data/link", "a")
		}, false},
		"hard link": {func(t *testing.T, c *pastCase, _ *oci.Builder) {
			must(t, os.Remove(filepath.Join(c.b.Context, "data/b")))
			must(t, os.WriteFile(filepath.Join(c.b.Context, "data/a"), []byte("bbbb"), 0o600))
			must(t, os.Link(filepath.Join(c.b.Context, "data/a"), filepath.Join(c.b.Context, "data/b")))
		}, false},
		"one file more": {func(t *testing.T, c *pastCase, _ *oci.Builder) {
			write(t, c.b.Context, "src/more.py", "m")
			alter(c, 0, func(s *plan.Copy) { s.Files = append(slices.Clone(s.Files), "src/more.py") })
		}, false},
		"one file fewer": {func(_ *testing.T, c *pastCase, _ *oci.Builder) {
			alter(c, 0, func(s *plan.Copy) { s.Files = s.Files[:1] })
		}, false},
		"destination": {func(_ *testing.T, c *pastCase, _ *oci.Builder) {
			alter(c, 1, func(s *plan.Copy) { s.Dest = "/other/" })
		}, false},
		"owner": {func(_ *testing.T, c *pastCase, _ *oci.Builder) { alter(c, 1, func(s *plan.Copy) { s.Owner = "7" }) }, false},
		"chmod": {func(_ *testing.T, c *pastCase, _ *oci.Builder) { alter(c, 1, func(s *plan.Copy) { s.Chmod = "700" }) }, false},
		"exclude": {func(_ *testing.T, c *pastCase, _ *oci.Builder) {
			alter(c, 1, func(s *plan.Copy) { s.Exclude = []string{"b"} })
		}, false},
		"environment": {func(_ *testing.T, c *pastCase, _ *oci.Builder) {
			alter(c, 0, func(s *plan.Set) { s.Env[0].Value = "2" })
		}, false},
		"label": {func(_ *testing.T, c *pastCase, _ *oci.Builder) {
			alter(c, 0, func(s *plan.Set) { s.Labels = map[string]string{"l": "1"} })
		}, false},
		"written content": {func(_ *testing.T, c *pastCase, _ *oci.Builder) {
			alter(c, 0, func(s *plan.Write) { s.Files[0].Data = "y" })
		}, false},
		"requirements": {func(_ *testing.T, c *pastCase, _ *oci.Builder) {
			alter(c, 0, func(s *plan.Install) { s.Requirements = "y" })
		}, false},
		"command": {func(_ *testing.T, c *pastCase, _ *oci.Builder) {
			alter(c, 0, func(s *plan.Install) { s.Command = []string{"pip", "-v"} })
		}, false},
		"lines": {func(_ *testing.T, c *pastCase, _ *oci.Builder) {
			c.p.Stages[0].Lines = []string{"F:1", "F:2", "F:3", "F:4", "F:5"}
		}, true},
		"text that JSON cannot say": {func(_ *testing.T, c *pastCase, _ *oci.Builder) {
			alter(c, 0, func(s *plan.Set) { s.Env[0].Value = "\xff" })
		}, false},
		"time":    {func(_ *testing.T, _ *pastCase, b *oci.Builder) { b.Time = time.Unix(1e9, 0) }, false},
		"created": {func(_ *testing.T, _ *pastCase, b *oci.Builder) { b.Created = time.Unix(1e9+1, 0) }, false},
		"compression": {func(_ *testing.T, _ *pastCase, b *oci.Builder) {
			b.Compression = layers.Compression{Name: layers.Gzip, Level: 9}
		}, false},
		"format": {func(_ *testing.T, _ *pastCase, b *oci.Builder) { b.Format = "oci" }, false},
		"annotation": {func(_ *testing.T, _ *pastCase, b *oci.Builder) {
			b.Annotations = map[string]string{"a": "1"}
			b.Format = "oci"
		}, false},
		"network": {func(_ *testing.T, _ *pastCase, b *oci.Builder) { b.Egress.Network = "none" }, false},
		"base": {func(t *testing.T, c *pastCase, _ *oci.Builder) {
			pushedBase(t, c.s, "/base:1", file("new", "in the base", 0o644))
		}, false},
		"base of another name": {func(t *testing.T, c *pastCase, _ *oci.Builder) {
			c.p.Stages[0].Base = pushedBase(t, c.s, "/base:2")
		}, true},
		"platform":            {func(_ *testing.T, c *pastCase, _ *oci.Builder) { c.p.Stages[0].Platform = "linux/amd64" }, true},
		"allowed hosts":       {func(_ *testing.T, _ *pastCase, b *oci.Builder) { b.Egress.Allow = []string{"h"} }, true},
		"secrets that stop":   {func(_ *testing.T, _ *pastCase, b *oci.Builder) { b.Secrecy.Stop = true }, true},
		"secrets that may be": {func(_ *testing.T, _ *pastCase, b *oci.Builder) { b.Secrecy.Allow = []string{"/app"} }, true},
		"images to remember": {func(_ *testing.T, c *pastCase, b *oci.Builder) {
			b.Remembered = &oci.Memory{Client: b.Client, Refs: []string{c.tags[0].Name()}}
		}, true},
		"project":          {func(_ *testing.T, _ *pastCase, b *oci.Builder) { b.Project = "q" }, true},
		"another program":  {func(_ *testing.T, _ *pastCase, b *oci.Builder) { b.Version = "kanso 2" }, true},
		"unknown program":  {func(_ *testing.T, _ *pastCase, b *oci.Builder) { b.Version = "" }, true},
		"no cache":         {func(_ *testing.T, _ *pastCase, b *oci.Builder) { b.NoCache = true }, true},
		"what was copied":  {func(_ *testing.T, _ *pastCase, b *oci.Builder) { b.ReportCopied = true }, true},
		"it goes to files": {func(_ *testing.T, _ *pastCase, b *oci.Builder) { b.Tags = nil }, true},
		"it goes to two names": {func(t *testing.T, c *pastCase, b *oci.Builder) {
			b.Tags = append(slices.Clone(b.Tags), tag(t, b.Client, c.s.host+"/team/image:2"))
		}, true},
		"the tag is another image": {func(t *testing.T, c *pastCase, _ *oci.Builder) {
			push(t, client(t), scratchImage(t), c.tags[0].Name())
		}, true},
		"a day later": {func(_ *testing.T, c *pastCase, b *oci.Builder) {
			b.Now = func() time.Time { return c.b.Now().Add(24 * time.Hour) }
		}, true},
		"a damaged store": {func(t *testing.T, c *pastCase, _ *oci.Builder) {
			files, err := filepath.Glob(filepath.Join(c.dir, "values", "builds-1", "*"))
			if err != nil || len(files) != 1 {
				t.Fatalf("%d builds are remembered, %v", len(files), err)
			}
			data, err := os.ReadFile(files[0])
			must(t, err)
			data[len(data)-2] ^= 1
			must(t, os.WriteFile(files[0], data, 0o600))
		}, true},
	}
}

// scratchImage is an image of one file.
func scratchImage(t *testing.T) v1.Image {
	t.Helper()
	b := builder(t, map[string]string{"x": "x"})
	img, err := b.Build(t.Context(), scratchWith(t, b, "x"))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// TestABuildThatDiffersIsDone changes all that an image depends on, one after the
// other: the build is done, and gives what it gives where nothing is remembered.
func TestABuildThatDiffersIsDone(t *testing.T) {
	for what, change := range changes() {
		t.Run(what, func(t *testing.T) {
			c := past(t)
			b, a := c.again(t)
			change.change(t, c, b)
			got := c.done(t, b)
			if a.layers.Load() == 0 && (!b.NoCache || got.Ran == 0) {
				t.Error("it was not done")
			}
			c.dir = t.TempDir()
			fresh, _ := c.again(t)
			store := fresh.Store
			*fresh = oci.Builder{
				Context: b.Context, Contexts: b.Contexts, Store: store, Runner: installer(), Client: fresh.Client, Time: b.Time, Created: b.Created,
				Compression: b.Compression, Format: b.Format, Annotations: b.Annotations, Egress: b.Egress, Secrecy: b.Secrecy, NoCache: b.NoCache,
			}
			want := c.done(t, fresh)
			if digest(t, got) != digest(t, want) {
				t.Errorf("image %s, want %s", digest(t, got), digest(t, want))
			}
			if same := digest(t, got) == digest(t, c.img); same != change.same {
				t.Errorf("the image is the one that was made before: %v, want %v", same, change.same)
			}
		})
	}
}
