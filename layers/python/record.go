package python

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"path"
	"strings"
)

// The sizes in bytes up to which files are read.
const (
	recordLimit = 64 << 20
	smallLimit  = 1 << 20
)

// record claims what a RECORD lists.
func (r *reader) record(d *Distribution, info, file string) error {
	f, err := r.open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	scripts, err := r.entryPoints(info)
	if err != nil {
		return err
	}
	rows := csv.NewReader(io.LimitReader(f, recordLimit))
	rows.FieldsPerRecord, rows.ReuseRecord, rows.LazyQuotes = -1, true, true
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if bad := (*csv.ParseError)(nil); errors.As(err, &bad) {
			d.add(Unreadable)
			return nil
		}
		if err != nil {
			return err
		}
		p := inRoot(path.Dir(info), row[0])
		r.claim(d, p)
		if dir, name := path.Split(p); path.Base(dir) == "bin" && !scripts[name] && r.has(p) {
			d.add(DataScript)
		}
	}
}

// entryPoints are the names of the scripts that installers make from
// entry_points.txt.
func (r *reader) entryPoints(info string) (map[string]bool, error) {
	names := map[string]bool{}
	in := false
	err := r.lines(path.Join(info, "entry_points.txt"), func(line string) {
		if strings.HasPrefix(line, "[") {
			in = line == "[console_scripts]" || line == "[gui_scripts]"
			return
		}
		if name, _, ok := strings.Cut(line, "="); ok && in {
			names[strings.TrimSpace(name)] = true
		}
	})
	return names, err
}

// egg claims what setuptools says that it installed without a wheel.
func (r *reader) egg(d *Distribution, info string) error {
	listed := false
	err := r.lines(path.Join(info, "installed-files.txt"), func(line string) {
		listed = true
		r.claim(d, inRoot(info, line))
	})
	if err != nil || listed {
		return err
	}
	tops := map[string]bool{}
	err = r.lines(path.Join(info, "top_level.txt"), func(line string) { tops[line] = true })
	if err != nil || len(tops) == 0 {
		return err
	}
	root := path.Dir(info)
	for p := range r.files {
		below := p
		if root != "." {
			var ok bool
			if below, ok = strings.CutPrefix(p, root+"/"); !ok {
				continue
			}
		}
		top, _, _ := strings.Cut(below, "/")
		if name, _, _ := strings.Cut(top, "."); (tops[top] || tops[name] && top != name) && r.unlisted(p) {
			r.claim(d, p)
		}
	}
	return nil
}

// unlisted says whether nobody has claimed a path yet.
func (r *reader) unlisted(p string) bool { return r.site.owners[p] == "" }

// origin finds out whether a distribution was built on this machine.
func (r *reader) origin(d *Distribution, info string) error {
	err := r.lines(path.Join(info, "WHEEL"), func(line string) {
		key, value, _ := strings.Cut(line, ":")
		if strings.EqualFold(key, "Tag") && strings.Contains(value, "-linux_") {
			d.add(FromSource) // no index takes a wheel with such a tag
		}
	})
	if err != nil {
		return err
	}
	data, err := r.small(path.Join(info, "direct_url.json"))
	if err != nil || data == nil {
		return err
	}
	var direct struct {
		URL     string          `json:"url"`
		Archive json.RawMessage `json:"archive_info"`
	}
	if json.Unmarshal(data, &direct) != nil || direct.Archive == nil || !strings.HasSuffix(direct.URL, ".whl") {
		d.add(FromSource)
	}
	return nil
}

// lines calls each for every line of a small file that is not empty; a file
// that is not there has none.
func (r *reader) lines(file string, each func(line string)) error {
	if !r.has(file) {
		return nil
	}
	f, err := r.open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	s := bufio.NewScanner(io.LimitReader(f, smallLimit))
	s.Buffer(nil, smallLimit+1)
	for s.Scan() {
		if line := strings.TrimSpace(s.Text()); line != "" {
			each(line)
		}
	}
	return s.Err()
}

// small returns the content of a small file, nil if it is not there.
func (r *reader) small(file string) ([]byte, error) {
	if !r.has(file) {
		return nil, nil
	}
	f, err := r.open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, smallLimit))
}
