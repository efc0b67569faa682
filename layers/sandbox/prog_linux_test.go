package sandbox_test

import (
	"context"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kanso-build/kanso/layers/sandbox"
)

// TestMain is the sandbox's own process, and the program that is run inside:
// the test binary is linked statically.
func TestMain(m *testing.M) {
	if code, child := sandbox.Main(os.Args, verbs()); child {
		os.Exit(code)
	}
	if filepath.Base(os.Args[0]) == "prog" {
		os.Exit(prog(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// verbs list what changed, as lines.
func verbs() map[string]sandbox.Verb {
	return map[string]sandbox.Verb{
		"list": func(_ context.Context, e sandbox.Env) error {
			root := e.Changes.Upper
			if root == "" {
				root = e.Changes.Root
			}
			err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
				if err != nil || p == root {
					return err
				}
				rel, err := filepath.Rel(root, p)
				if err != nil {
					return err
				}
				var buf [100]byte
				owner := ""
				if n, err := unix.Lgetxattr(p, "user.containers.override_stat", buf[:]); err == nil {
					owner = " " + string(buf[:n])
				}
				_, err = fmt.Fprintf(e.Out, "%s %s%s\n", d.Type(), rel, owner)
				return err
			})
			if table, rerr := os.ReadFile(e.Changes.ChownTable); rerr == nil {
				fmt.Fprintf(e.Out, "table %s\n", table)
			}
			return err
		},
		"copy": func(_ context.Context, e sandbox.Env) error {
			_, err := io.Copy(e.Out, e.In)
			return err
		},
		"fail": func(context.Context, sandbox.Env) error { return errors.New("on purpose") },
		"merge": func(_ context.Context, e sandbox.Env) error {
			var a sandbox.MergeArgs
			if err := json.Unmarshal(e.Args, &a); err != nil {
				return err
			}
			return os.CopyFS(a.Dst, os.DirFS(filepath.Join(a.Lowers[0], "fs")))
		},
		"snapshot": func(context.Context, sandbox.Env) error { return nil },
	}
}

// prog is what runs inside.
func prog(args []string) int {
	switch args[0] {
	case "write":
		return result(os.WriteFile(args[1], []byte("x"), 0o644))
	case "remove":
		return result(os.RemoveAll(args[1]))
	case "unpack": // a file, and another name of it
		return result(errors.Join(os.MkdirAll(filepath.Dir(args[1]), 0o755), os.WriteFile(args[1], []byte("unpacked"), 0o644), os.Link(args[1], args[2])))
	case "renew": // a directory, with one file in it
		return result(errors.Join(os.RemoveAll(args[1]), os.Mkdir(args[1], 0o755), os.WriteFile(filepath.Join(args[1], "new"), nil, 0o644)))
	case "replace": // a directory by a link
		return result(errors.Join(os.RemoveAll(args[1]), os.Symlink(args[2], args[1])))
	case "touch": // in every way but by writing
		return result(errors.Join(os.Chmod(args[1], 0o600), os.Truncate(args[1], 1), os.Chtimes(args[1], time.Unix(1, 0), time.Unix(1, 0))))
	case "swap": // a directory for a link, by whoever owns the one above
		return result(errors.Join(os.Chmod(filepath.Dir(args[1]), 0o755), os.Rename(args[1], args[1]+"-was"), os.Symlink(args[2], args[1])))
	case "await": // the end of the input, before a file is written
		fmt.Println("ready")
		_, err := io.Copy(io.Discard, os.Stdin)
		return result(errors.Join(err, os.MkdirAll(filepath.Dir(args[1]), 0o755), os.WriteFile(args[1], []byte("x"), 0o644)))
	case "print":
		fmt.Println(strings.Join(args[1:], " "))
		return 0
	case "fail":
		for i := range 30 {
			fmt.Fprintln(os.Stderr, "line", i)
		}
		return 3
	case "complain":
		fmt.Fprintln(os.Stderr, strings.Join(args[1:], " "))
		return 1
	case "descriptor":
		fd, err := strconv.Atoi(args[1])
		if err == nil {
			_, err = unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		}
		fmt.Println(err)
		return 0
	case "env":
		fmt.Println(strings.Join(os.Environ(), "\n"))
		return 0
	case "ls":
		entries, err := os.ReadDir(args[1])
		for _, e := range entries {
			fmt.Println(e.Name())
		}
		return result(err)
	case "chown":
		return result(errors.Join(
			os.WriteFile("/file", nil, 0o644), os.Chown("/file", 33, 34),
			os.Mkdir("/dir", 0o755), os.Chown("/dir", -1, 7),
			os.Symlink("nowhere", "/link"), os.Lchown("/link", 5, 6),
			os.Symlink("nowhere", "/n.new"), os.Lchown("/n.new", 12, 13), os.Rename("/n.new", "/named"),
			os.Lchown("/lower", 14, 15),
			os.Chdir("/dir"), os.WriteFile("rel", nil, 0o644), os.Chown("rel", 8, 9),
			os.Symlink("/../../../../dir/rel", "/abs"), os.Chown("/abs", 10, 11),
			unix.Setgroups([]int{1, 2}),
		))
	case "sleep":
		fmt.Println("asleep")
		time.Sleep(time.Hour)
	case "orphan":
		pid, err := os.StartProcess("/prog", []string{"/prog", "sleep"}, &os.ProcAttr{Files: []*os.File{nil, os.Stdout, os.Stderr}})
		if err != nil {
			return result(err)
		}
		return result(pid.Release())
	case "hostile":
		hostile(args[1], args[2], args[3])
	case "calls":
		calls()
	case "daemon":
		return result(daemon(args[1]))
	case "kill":
		pid, err := strconv.Atoi(args[1])
		return result(errors.Join(err, unix.Kill(pid, unix.SIGKILL)))
	case "open":
		f, err := os.OpenFile(args[1], os.O_WRONLY, 0)
		if err == nil {
			f.Close()
		}
		return result(err)
	}
	return 0
}

func result(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// base is a tree with the test binary in it.
func base(t *testing.T) string {
	t.Helper()
	tree := t.TempDir()
	root := filepath.Join(tree, "fs")
	for _, d := range []string{"", "etc", "work"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("nowhere", filepath.Join(root, "lower")); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "prog"), data, 0o755); err != nil {
		t.Fatal(err)
	}
	libraries(t, exe, root)
	return tree
}

// libraries copies what a test binary that is linked dynamically, as with the
// race detector, needs to start.
func libraries(t *testing.T, exe, root string) {
	t.Helper()
	f, err := elf.Open(exe)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return
	}
	out, err := exec.CommandContext(t.Context(), "ldd", exe).Output()
	if err != nil {
		t.Fatal(err)
	}
	for word := range strings.FieldsSeq(string(out)) {
		if !strings.HasPrefix(word, "/") {
			continue
		}
		data, err := os.ReadFile(word)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(root, word)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func open(t *testing.T, o sandbox.Options) *sandbox.Sandbox {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s, err := sandbox.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func command(lower string, args ...string) sandbox.Command {
	return sandbox.Command{Lowers: []string{lower}, Args: append([]string{"prog"}, args...), Env: []string{"PATH=/bin:/", "A=1"}, Dir: "/"}
}
