package oci_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/kanso-build/kanso/oci"
)

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

func TestAFileIsThereWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	want := func(s string) {
		t.Helper()
		if data, err := os.ReadFile(file); err != nil || string(data) != s {
			t.Errorf("the file is %q, %v; want %q", data, err, s)
		}
		if list, err := os.ReadDir(dir); err != nil || len(list) != 2 {
			t.Errorf("the directory has %v, %v; want two", list, err)
		}
	}
	for _, at := range []string{file, file, link} {
		if err := oci.WriteWhole(at, text("for "+at)); err != nil {
			t.Fatal(err)
		}
		want("for " + at)
	}
	if to, err := os.Readlink(link); err != nil || to != "file" {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	broken := errors.New("broken")
	if err := oci.WriteWhole(file, func(w io.Writer) error { return errors.Join(text("half")(w), broken) }); !errors.Is(err, broken) {
		t.Errorf("WriteWhole = %v, want %v", err, broken)
	}
	want("for " + link)
}

// A device or a pipe stays, as /dev/null should when root writes there.
func TestWhatIsNoFileIsWrittenTo(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	got := make(chan string)
	go func() {
		data, err := os.ReadFile(pipe)
		got <- string(data) + errorText(err)
	}()
	if err := oci.WriteWhole(pipe, text("through it")); err != nil {
		t.Fatal(err)
	}
	if s := <-got; s != "through it" {
		t.Errorf("read %q", s)
	}
	if info, err := os.Lstat(pipe); err != nil || info.Mode().Type() != os.ModeNamedPipe {
		t.Errorf("the pipe is %v, %v now", info, err)
	}
	if err := oci.WriteWhole(t.TempDir(), text("x")); err == nil {
		t.Error("a directory was written to")
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}
