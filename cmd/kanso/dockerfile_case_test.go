package main

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/txtar"
)

// casesDir is where the Dockerfiles are that kanso and BuildKit have to build
// equally. A case is an archive of text files: those that are not beside the
// context (../) are the context, the last one, "want", is BuildKit's answer. The
// comment is lines of prose (#) and of what a text file cannot say:
//
//	args FLAG...            flags of kanso build
//	env NAME=VALUE          a variable of the environment that it is called in
//	mode MODE PATH          permissions; files have 0644, directories 0755
//	dir MODE PATH           a directory
//	link PATH TARGET        a symbolic link
//	hard PATH TARGET        a second name
//	fifo PATH               a named pipe
//	zeros PATH SIZE         a file of that many zero bytes
//	binary PATH             the file's text is base64
//	tar PATH KIND DIR IDS   DIR as an archive: plain, gzip or zstd, all of the owner UID:GID
//	serve                   ../www is served, at what the build argument URL says
//	git                     ../www/repo is a git repository, of which all of ../repo is committed, tag v1
//	agent                   a socket of an ssh agent is at ../agent
const casesDir = "../../testdata/dockerfile/cases"

type dockerCase struct {
	file    string // as a path
	archive *txtar.Archive
	args    []string
	env     environ
	serve   bool
	git     bool
	agent   bool
	dir     string // the context, when it has been written
}

func readCase(t *testing.T, file string) *dockerCase {
	t.Helper()
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := &dockerCase{file: file, archive: a, env: environ{}}
	for _, words := range c.directives() {
		switch words[0] {
		case "args":
			c.args = append(c.args, words[1:]...)
		case "env":
			name, value, _ := strings.Cut(words[1], "=")
			c.env[name] = value
		case "serve":
			c.serve = true
		case "git":
			c.git = true
		case "agent":
			c.agent = true
		}
	}
	return c
}

// directives are the comment's lines that are no prose, as words.
func (c *dockerCase) directives() [][]string {
	var all [][]string
	for line := range strings.Lines(string(c.archive.Comment)) {
		if words := strings.Fields(line); len(words) > 0 && !strings.HasPrefix(line, "#") {
			all = append(all, words)
		}
	}
	return all
}

// want is the recorded answer.
func (c *dockerCase) want() (string, bool) {
	if n := len(c.archive.Files); n > 0 && c.archive.Files[n-1].Name == "want" {
		return string(c.archive.Files[n-1].Data), true
	}
	return "", false
}

// record writes another answer.
func (c *dockerCase) record(t *testing.T, answer string) {
	t.Helper()
	files := c.archive.Files
	if _, ok := c.want(); ok {
		files = files[:len(files)-1]
	}
	c.archive.Files = append(files, txtar.File{Name: "want", Data: []byte(answer)})
	if err := os.WriteFile(c.file, txtar.Format(c.archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

// mentions says whether a word is somewhere in the case.
func (c *dockerCase) mentions(word string) bool {
	re := regexp.MustCompile(`(^|[^\w-])` + regexp.QuoteMeta(word) + `($|[^\w-])`)
	return slices.ContainsFunc(c.archive.Files, func(f txtar.File) bool {
		return f.Name != "want" && re.Match(f.Data)
	}) || re.Match(c.archive.Comment)
}

// write makes the context, and what is beside it, below a new directory.
func (c *dockerCase) write(t *testing.T) {
	t.Helper()
	c.dir = filepath.Join(t.TempDir(), "context")
	must(t, os.Mkdir(c.dir, 0o755))
	for _, f := range c.archive.Files {
		if f.Name == "want" {
			continue
		}
		name := filepath.Join(c.dir, f.Name)
		c.mkdirAll(t, filepath.Dir(name))
		must(t, os.WriteFile(name, f.Data, 0o644))
		must(t, os.Chmod(name, 0o644))
	}
	var last [][]string
	for _, words := range c.directives() {
		if words[0] == "mode" { // a directory may become one that nothing can be made in
			last = append([][]string{words}, last...)
			continue
		}
		c.make(t, words)
	}
	for _, words := range last {
		must(t, os.Chmod(filepath.Join(c.dir, words[2]), mode(t, words[1])))
	}
	t.Cleanup(func() { // and one that nothing can be removed from
		for _, words := range last {
			_ = os.Chmod(filepath.Join(c.dir, words[2]), 0o755)
		}
	})
}

// mkdirAll makes directories of mode 0755 whatever the umask.
func (c *dockerCase) mkdirAll(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Stat(dir); err == nil {
		return
	}
	c.mkdirAll(t, filepath.Dir(dir))
	must(t, os.Mkdir(dir, 0o755))
	must(t, os.Chmod(dir, 0o755))
}

// make carries out one directive that makes a file.
func (c *dockerCase) make(t *testing.T, words []string) {
	t.Helper()
	path := func(i int) string {
		p := filepath.Join(c.dir, words[i])
		c.mkdirAll(t, filepath.Dir(p))
		return p
	}
	switch words[0] {
	case "args", "env", "serve", "git", "agent":
	case "dir":
		c.mkdirAll(t, path(2))
		must(t, os.Chmod(path(2), mode(t, words[1])))
	case "link":
		must(t, os.Symlink(words[2], path(1)))
	case "hard":
		must(t, os.Link(filepath.Join(c.dir, words[2]), path(1)))
	case "fifo":
		must(t, exec.CommandContext(t.Context(), "mkfifo", path(1)).Run())
		must(t, os.Chmod(path(1), 0o644))
	case "zeros":
		size, err := strconv.Atoi(words[2])
		must(t, err)
		must(t, os.WriteFile(path(1), make([]byte, size), 0o644))
		must(t, os.Chmod(path(1), 0o644))
	case "binary":
		text, err := os.ReadFile(path(1))
		must(t, err)
		data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(text)), ""))
		must(t, err)
		must(t, os.WriteFile(path(1), data, 0o644))
	case "tar":
		must(t, os.WriteFile(path(1), packed(t, words[2], tree2tar(t, filepath.Join(c.dir, words[3]), words[4])), 0o644))
		must(t, os.Chmod(path(1), 0o644))
	default:
		t.Fatalf("%s: no directive %q", c.file, words[0])
	}
}

func mode(t *testing.T, octal string) os.FileMode {
	t.Helper()
	n, err := strconv.ParseUint(octal, 8, 12)
	must(t, err)
	m := os.FileMode(n & 0o777)
	for bit, is := range map[uint64]os.FileMode{0o4000: os.ModeSetuid, 0o2000: os.ModeSetgid, 0o1000: os.ModeSticky} {
		if n&bit != 0 {
			m |= is
		}
	}
	return m
}

// tree2tar is a directory as a tar that is the same for everybody.
func tree2tar(t *testing.T, dir, ids string) []byte {
	t.Helper()
	var uid, gid int
	if _, err := fmt.Sscanf(ids, "%d:%d", &uid, &gid); err != nil {
		t.Fatalf("%s: %v", ids, err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	must(t, filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, p)
		if err != nil || rel == "." {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		target, _ := os.Readlink(p)
		h, err := tar.FileInfoHeader(info, target)
		if err != nil {
			return err
		}
		h = &tar.Header{Typeflag: h.Typeflag, Name: rel, Linkname: target, Mode: h.Mode, Size: h.Size, Uid: uid, Gid: gid}
		if err := w.WriteHeader(h); err != nil || h.Size == 0 {
			return err
		}
		data, err := os.ReadFile(p)
		if err == nil {
			_, err = w.Write(data)
		}
		return err
	}))
	must(t, w.Close())
	return b.Bytes()
}

func packed(t *testing.T, kind string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch kind {
	case "plain":
		return data
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zstd":
		z, err := zstd.NewWriter(&b)
		must(t, err)
		w = z
	default:
		t.Fatalf("no kind of archive: %s", kind)
	}
	_, err := w.Write(data)
	must(t, err)
	must(t, w.Close())
	return b.Bytes()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
