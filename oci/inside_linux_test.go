package oci_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/oci"
)

// verbs are those of the command line program.
func verbs() map[string]sandbox.Verb {
	return map[string]sandbox.Verb{
		"unpack": func(ctx context.Context, e sandbox.Env) error {
			var a oci.UnpackArgs
			if err := json.Unmarshal(e.Args, &a); err != nil {
				return err
			}
			z, err := layers.Decompress(e.In)
			if err != nil {
				return err
			}
			sum := sha256.New()
			var out oci.Unpacked
			var list layers.Listing
			o := layers.UnpackOptions{Owners: a.Owners, Below: a.Below}
			if a.Apart {
				list, out.Apart, err = layers.UnpackApart(ctx, io.TeeReader(z, sum), a.Dir, o)
				out.Again = errors.Is(err, layers.ErrBelow)
			} else {
				list, err = layers.Unpack(ctx, io.TeeReader(z, sum), a.Dir, o)
			}
			if err != nil && !out.Again {
				return err
			}
			if _, err := io.Copy(sum, z); err != nil {
				return err
			}
			if got := "sha256:" + hex.EncodeToString(sum.Sum(nil)); got != a.DiffID {
				return fmt.Errorf("layer is %s, not %s", got, a.DiffID)
			}
			if out.List, err = json.Marshal(list); err != nil {
				return err
			}
			_, err = out.WriteTo(e.Out)
			return err
		},
		"ground": func(_ context.Context, e sandbox.Env) error {
			var a oci.GroundArgs
			if err := json.Unmarshal(e.Args, &a); err != nil {
				return err
			}
			err := layers.Ground(a.Dir, a.Apart, layers.UnpackOptions{Owners: a.Owners, Below: a.Below})
			if err != nil && !errors.Is(err, layers.ErrBelow) {
				return err
			}
			return json.NewEncoder(e.Out).Encode(oci.Grounded{Again: err != nil})
		},
		"capture": func(ctx context.Context, e sandbox.Env) error {
			var a oci.CaptureArgs
			if err := json.Unmarshal(e.Args, &a); err != nil {
				return err
			}
			in := *e.Changes
			c := layers.Changes{Upper: in.Upper, Root: in.Root, Before: in.Before, Lowers: in.Lowers, Tables: in.Tables, ChownTable: in.ChownTable, Skip: in.Skip}
			return a.Capture(ctx, e.Out, c)
		},
		"merge": func(ctx context.Context, e sandbox.Env) error {
			var a sandbox.MergeArgs
			if err := json.Unmarshal(e.Args, &a); err != nil {
				return err
			}
			var roots []string
			for _, tree := range a.Lowers {
				roots = append(roots, layers.TreeFiles(tree))
			}
			return layers.Merge(ctx, roots, a.Dst, layers.Owners(a.Owners))
		},
		"snapshot": func(ctx context.Context, e sandbox.Env) error {
			var a sandbox.SnapshotArgs
			if err := json.Unmarshal(e.Args, &a); err != nil {
				return err
			}
			return layers.Snapshot(ctx, a.Root, a.File)
		},
		"remove": func(_ context.Context, e sandbox.Env) error {
			var a oci.RemoveArgs
			if err := json.Unmarshal(e.Args, &a); err != nil {
				return err
			}
			for _, p := range a.Paths {
				if err := layers.RemoveAll(p); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// programs are what commands of the test images do.
func programs() map[string]func(args ...string) error {
	return map[string]func(args ...string) error{
		"reach": reach, "failing": failing,
		"true": func(...string) error { return nil },
		"fail": func(...string) error { return errors.New("what went wrong") },
		"env": func(...string) error {
			fmt.Println(strings.Join(os.Environ(), "\n"))
			return nil
		},
		"who": func(...string) error {
			groups, err := os.Getgroups()
			dir, _ := os.Getwd()
			host, _ := os.Hostname()
			fmt.Println(os.Getuid(), os.Getgid(), slices.Contains(groups, os.Getgid()) || len(groups) == 0, dir, host)
			return err
		},
		// show prints what is at paths, look also of directories.
		"show": func(args ...string) error {
			for _, p := range args {
				if err := showFile(p); err != nil {
					return err
				}
			}
			return nil
		},
		"write": func(args ...string) error {
			for _, p := range args {
				if err := os.WriteFile(p, []byte("written"), 0o644); err != nil {
					return err
				}
			}
			return nil
		},
		"refused": func(args ...string) error {
			if err := os.WriteFile(args[0], nil, 0o644); err == nil {
				return fmt.Errorf("%s could be written to", args[0])
			}
			return nil
		},
		"unreadable": func(args ...string) error {
			if _, err := os.ReadFile(args[0]); !errors.Is(err, fs.ErrPermission) {
				return fmt.Errorf("reading %s: %v", args[0], err) //nolint:errorlint // it may be nil
			}
			return nil
		},
		"owners": func(args ...string) error {
			for _, p := range args {
				var st unix.Stat_t
				if err := unix.Lstat(p, &st); err != nil {
					return err
				}
				fmt.Printf("%s %d:%d\n", p, st.Uid, st.Gid)
			}
			return nil
		},
		"limit": func(...string) error {
			var l unix.Rlimit
			err := unix.Getrlimit(unix.RLIMIT_FSIZE, &l)
			fmt.Println(l.Cur, l.Max)
			return err
		},
		"change": changeEverything,
		"inspect": func(args ...string) error {
			for _, p := range args {
				if err := showFile(p); err != nil {
					return err
				}
			}
			return look("/usr/lib", "/app")
		},
		"look":    look,
		"install": fakeInstall,
		"pip":     fakePip,
		"install-more": func(args ...string) error {
			return errors.Join(os.RemoveAll("/usr/lib/python3/first"), fakeInstall(args...))
		},
		"ask": func(args ...string) error {
			c, err := net.Dial("unix", os.Getenv("SSH_AUTH_SOCK"))
			if err != nil {
				return err
			}
			defer c.Close()
			fmt.Fprintln(c, args[0])
			answer, err := bufio.NewReader(c).ReadString('\n')
			fmt.Print(answer)
			return err
		},
	}
}

func showFile(p string) error {
	info, err := os.Lstat(p)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Println("nothing", p)
		return nil
	}
	if err != nil {
		return err
	}
	line := info.Mode().String() + " " + p
	switch {
	case info.IsDir():
		entries, err := os.ReadDir(p)
		if err != nil {
			return err
		}
		for _, e := range entries {
			line += " " + e.Name()
		}
	case info.Mode().IsRegular():
		data, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		line += " " + string(data)
	}
	fmt.Println(line)
	return nil
}
