package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/oci"
)

func TestMain(m *testing.M) {
	if code, child := sandbox.Main(os.Args, verbs()); child {
		os.Exit(code)
	}
	testscript.Main(m, map[string]func(){"kanso": main})
}

// TestScripts runs testdata/script: what the command line takes, says and
// answers. UPDATE_SCRIPTS=1 writes the expected outputs anew.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		WorkdirRoot:         t.TempDir(),
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(e *testscript.Env) error {
			home := filepath.Join(e.WorkDir, "home")
			e.Setenv("HOME", home)
			e.Setenv("KANSO_CACHE_DIR", filepath.Join(e.WorkDir, ".cache"))
			e.Setenv("SOURCE_DATE_EPOCH", "")
			return os.Mkdir(home, 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"mkbase":   mkbase,
			"registry": registry,
			"status":   status,
			"tree":     tree,
			"contents": contents,
			"log":      requests,
			"tamper":   tamper,
			"attached": attached,
		},
	})
}

// mkbase DIR:TAG [probe] writes a small base as an OCI layout, with one program
// if that is asked for.
func mkbase(ts *testscript.TestScript, _ bool, args []string) {
	var program []byte
	if len(args) > 1 {
		file := filepath.Join(ts.MkAbs("."), ".probe")
		cmd := exec.Command("go", "build", "-trimpath", "-o", file, "./testdata/probe")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			ts.Fatalf("build probe: %s", out)
		}
		data, err := os.ReadFile(file)
		ts.Check(err)
		program = data
	}
	files := baseTar(program)
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(files)), nil })
	ts.Check(err)
	img, err := mutate.AppendLayers(empty.Image, layer)
	ts.Check(err)
	config, err := img.ConfigFile()
	ts.Check(err)
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", "amd64"
	config.Config = v1.Config{Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin", "VIRTUAL_ENV=/opt/venv"}, Cmd: []string{"probe", "from-cmd"}}
	img, err = mutate.ConfigFile(img, config)
	ts.Check(err)
	out, err := oci.ParseOutput("oci:" + ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(oci.WriteArchive(context.Background(), out, img, ""))
}

// baseTar is the one layer of the base: users, and a directory of root's.
func baseTar(program []byte) string {
	var b strings.Builder
	w := tar.NewWriter(&b)
	dir := func(name string) { _ = w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}) }
	dir("etc/")
	for name, content := range map[string]string{"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n"} {
		_ = w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content))})
		_, _ = io.WriteString(w, content)
	}
	dir("root/")
	if program != nil {
		dir("bin/")
		_ = w.WriteHeader(&tar.Header{Name: "bin/probe", Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(program))})
		_, _ = w.Write(program)
	}
	_ = w.Close()
	return b.String()
}

// registry [refusing] serves a registry, whose address becomes $REGISTRY. A
// refusing one lets nobody push.
func registry(ts *testscript.TestScript, _ bool, args []string) {
	log, err := os.OpenFile(ts.MkAbs("registry.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	ts.Check(err)
	handler, err := oci.Registry(ts.MkAbs(".registry"), log)
	ts.Check(err)
	if len(args) > 0 && args[0] == "refusing" {
		inner := handler
		handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet || r.Method == http.MethodHead {
				inner.ServeHTTP(w, r)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"errors":[{"code":"DENIED","message":"you may not push here"}]}`)
		})
	}
	s := httptest.NewServer(handler)
	ts.Defer(func() {
		s.Close()
		_ = log.Close()
	})
	ts.Setenv("REGISTRY", strings.TrimPrefix(s.URL, "http://"))
}

// log [METHOD] prints the registry's log, or that of a method, and empties it.
func requests(ts *testscript.TestScript, neg bool, args []string) {
	data, err := os.ReadFile(ts.MkAbs("registry.log"))
	ts.Check(err)
	n := 0
	for line := range strings.Lines(string(data)) {
		if len(args) == 0 || strings.HasPrefix(line, args[0]+" ") {
			n++
			fmt.Fprint(ts.Stdout(), line)
		}
	}
	ts.Check(os.Truncate(ts.MkAbs("registry.log"), 0))
	if neg != (n == 0) {
		ts.Fatalf("%d requests with %q", n, args)
	}
}

// status N COMMAND... runs kanso and checks its exit status.
func status(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit interface{ ExitCode() int }
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// tree DIR... prints what is in directories.
func tree(ts *testscript.TestScript, _ bool, args []string) {
	for _, dir := range args {
		ts.Check(filepath.WalkDir(ts.MkAbs(dir), func(p string, d os.DirEntry, err error) error {
			if err == nil {
				rel, _ := filepath.Rel(ts.MkAbs("."), p)
				fmt.Fprintln(ts.Stdout(), filepath.ToSlash(rel))
			}
			return err
		}))
	}
}

// contents DIR prints what is in the layers of the only image of an OCI layout
// that are not the base's first.
func contents(ts *testscript.TestScript, _ bool, args []string) {
	index, err := layout.ImageIndexFromPath(ts.MkAbs(args[0]))
	ts.Check(err)
	m, err := index.IndexManifest()
	ts.Check(err)
	img, err := index.Image(m.Manifests[0].Digest)
	ts.Check(err)
	all, err := img.Layers()
	ts.Check(err)
	for i, l := range all[1:] {
		fmt.Fprintf(ts.Stdout(), "layer %d\n", i+1)
		r, err := l.Uncompressed()
		ts.Check(err)
		t := tar.NewReader(r)
		for {
			h, err := t.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			ts.Check(err)
			fmt.Fprintf(ts.Stdout(), "%s %04o %d:%d %d %s\n", string(h.Typeflag), h.Mode, h.Uid, h.Gid, h.Size, strings.TrimSpace(h.Name+" "+h.Linkname))
		}
		ts.Check(r.Close())
	}
}
