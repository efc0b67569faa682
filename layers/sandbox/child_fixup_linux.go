package sandbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// setRight takes the place of the copy out of what was installed: out of the
// first line of scripts and, with their new hashes, out of the lists of
// installed files.
func (l *pythonLoader) setRight() error {
	scripts, err := l.scripts()
	if err != nil || len(scripts) == 0 {
		return err
	}
	venv := path.Dir(path.Dir(l.python))
	records, err := filepath.Glob(filepath.Join(venv, "lib", "python3*", "site-packages", "*.dist-info", "RECORD"))
	if err != nil {
		return err
	}
	for _, r := range records {
		if err := setRecord(r, scripts); err != nil {
			return fmt.Errorf("%s: %w", strings.TrimPrefix(r, l.t.root), err)
		}
	}
	return nil
}

// scripts rewrites the scripts that name the copy and returns what they hold.
func (l *pythonLoader) scripts() (map[string][]byte, error) {
	dir := path.Dir(l.python)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	changed := map[string][]byte{}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		file := filepath.Join(dir, e.Name())
		info, err := e.Info()
		if err != nil || info.Size() > 1<<20 {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		first, rest, _ := bytes.Cut(data, []byte("\n"))
		if !bytes.HasPrefix(first, []byte("#!")) && !bytes.HasPrefix(rest, []byte("'''exec' ")) || !bytes.Contains(data, []byte(l.t.root)) {
			continue
		}
		data = l.shebang(data)
		if err := rewrite(file, data, info.Mode()); err != nil {
			return nil, err
		}
		changed[file] = data
	}
	return changed, nil
}

// shebang makes the beginning of a script that of the image. Paths that are
// too long for a kernel's first line are written by way of a shell, which the
// image's path does not need.
func (l *pythonLoader) shebang(data []byte) []byte {
	if lines := bytes.SplitN(data, []byte("\n"), 4); len(lines) == 4 && bytes.HasPrefix(lines[1], []byte("'''exec' ")) && bytes.Contains(lines[1], []byte(l.t.root)) {
		return append([]byte("#!"+strings.TrimPrefix(l.python, l.t.root)+"\n"), lines[3]...)
	}
	return bytes.Replace(data, []byte(l.t.root), nil, 1)
}

// rewrite replaces a file by one with the same mode.
func rewrite(file string, data []byte, mode fs.FileMode) error {
	if err := os.Remove(file); err != nil {
		return err
	}
	if err := os.WriteFile(file, data, mode.Perm()); err != nil {
		return err
	}
	return os.Chmod(file, mode.Perm())
}

// setRecord sets hashes and sizes of scripts in a list of installed files
// (Recording installed projects, "The RECORD file").
func setRecord(file string, scripts map[string][]byte) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	r := csv.NewReader(bytes.NewReader(data))
	r.FieldsPerRecord = -1
	rows, err := r.ReadAll()
	if err != nil {
		return err
	}
	base, changed := filepath.Dir(filepath.Dir(file)), false
	for _, row := range rows {
		if content, ok := scripts[filepath.Join(base, filepath.FromSlash(row[0]))]; ok && len(row) == 3 {
			sum := sha256.Sum256(content)
			row[1], row[2] = "sha256="+base64.RawURLEncoding.EncodeToString(sum[:]), strconv.Itoa(len(content))
			changed = true
		}
	}
	if !changed {
		return nil
	}
	var out bytes.Buffer
	if err := csv.NewWriter(&out).WriteAll(rows); err != nil {
		return err
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	return rewrite(file, out.Bytes(), info.Mode())
}
