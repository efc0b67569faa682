package python_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kanso-build/kanso/layers/python"
)

const site = "usr/lib/python3.11/site-packages/"

// tree is a layer: contents by path. A path with "-" before it is deleted, one
// with "+" is in the layers below, too.
type tree map[string]string

func (t tree) files() []python.File {
	var list []python.File
	for p, data := range t {
		f := python.File{Path: strings.TrimLeft(p, "-+"), Size: int64(len(data)), Deleted: p[0] == '-', Below: p[0] == '+' || p[0] == '-'}
		list = append(list, f)
	}
	// What is found must not depend on the order.
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

func (t tree) open(p string) (io.ReadCloser, error) {
	for _, name := range []string{p, "+" + p} {
		if data, ok := t[name]; ok {
			return io.NopCloser(strings.NewReader(data)), nil
		}
	}
	return nil, fmt.Errorf("%s: not there", p)
}

func read(t *testing.T, files tree) *python.Site {
	t.Helper()
	s, err := python.Read(files.files(), files.open)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// owned are the paths of a tree with their owners.
func owned(s *python.Site, files tree) map[string]string {
	out := map[string]string{}
	for p := range files {
		if name := s.Owner(strings.TrimLeft(p, "-+")); name != "" {
			out[p] = name
		}
	}
	return out
}

func TestRead(t *testing.T) {
	tests := []struct {
		name   string
		files  tree
		owners map[string]string // of paths without site
		unsafe map[string][]python.Reason
	}{
		{
			name: "pip lists what it compiled, uv does not",
			files: tree{
				site + "attr/__init__.py":                                "x",
				site + "attr/__pycache__/__init__.cpython-311.pyc":       "c",
				site + "attrs-25.3.0.dist-info/RECORD":                   "attr/__init__.py,sha256=x,1\nattr/__pycache__/__init__.cpython-311.pyc,,\nattrs-25.3.0.dist-info/RECORD,,\n",
				site + "idna/a.b.py":                                     "x",
				site + "idna/__pycache__/a.b.cpython-311.opt-1.pyc":      "c",
				site + "idna-3.10.dist-info/RECORD":                      "idna/a.b.py,sha256=x,1\n",
				site + "idna-3.10.dist-info/INSTALLER":                   "uv",
				site + "idna/__pycache__/stranger.cpython-311.pyc":       "c",
				"app/.zenml_user_requirements":                           "attrs",
				"usr/lib/python3.11/__pycache__/abc.cpython-311.pyc":     "c",
				site + "idna-3.10.dist-info/licenses/LICENSE":            "l",
				site + "idna/__pycache__/notes.txt":                      "t",
				site + "__pycache__/lonely.pyc":                          "c",
				site + "elsewhere/attrs-25.3.0.dist-info.txt":            "t",
				site + "attr/__pycache__/__init__.cpython-312.opt-2.pyc": "c",
			},
			owners: map[string]string{
				"attr/__init__.py": "attrs", "attr/__pycache__/__init__.cpython-311.pyc": "attrs", "attrs-25.3.0.dist-info/RECORD": "attrs",
				"attr/__pycache__/__init__.cpython-312.opt-2.pyc": "attrs",
				"idna/a.b.py": "idna", "idna/__pycache__/a.b.cpython-311.opt-1.pyc": "idna", "idna-3.10.dist-info/RECORD": "idna",
				"idna-3.10.dist-info/INSTALLER": "idna", "idna-3.10.dist-info/licenses/LICENSE": "idna",
			},
		},
		{
			name: "scripts and data lie outside",
			files: tree{
				"usr/bin/flask":                                    "#!",
				"usr/bin/jp.py":                                    "#!",
				"usr/share/jupyter/kernel.json":                    "{}",
				"opt/elsewhere":                                    "x",
				site + "Flask_Cors.X-1.dist-info/RECORD":           "../../../bin/flask,sha256=x,2\n../../../share/jupyter/kernel.json,,\n/opt/elsewhere,,\n\"../../../../../../etc/passwd\",,\n",
				site + "Flask_Cors.X-1.dist-info/entry_points.txt": "[console_scripts]\nflask = flask.cli:main\n",
				site + "jmespath-1.dist-info/RECORD":               "../../../bin/jp.py,sha256=x,2\n",
			},
			owners: map[string]string{
				"/usr/bin/flask": "flask-cors-x", "/usr/share/jupyter/kernel.json": "flask-cors-x", "/opt/elsewhere": "flask-cors-x",
				"Flask_Cors.X-1.dist-info/RECORD": "flask-cors-x", "Flask_Cors.X-1.dist-info/entry_points.txt": "flask-cors-x",
				"/usr/bin/jp.py": "jmespath", "jmespath-1.dist-info/RECORD": "jmespath",
			},
			unsafe: map[string][]python.Reason{"jmespath": {python.DataScript}},
		},
		{
			name: "namespaces are nobody's, their parts are",
			files: tree{
				site + "google/api/a.py":                "x",
				site + "google/auth/b.py":               "x",
				site + "google_api-1.dist-info/RECORD":  "google/api/a.py,,\n",
				site + "google_auth-1.dist-info/RECORD": "google/auth/b.py,,\n",
				"-" + site + "google/old.py":            "",
				"-" + site + "google/auth/old.py":       "",
			},
			owners: map[string]string{
				"google/api/a.py": "google-api", "google_api-1.dist-info/RECORD": "google-api",
				"google/auth/b.py": "google-auth", "google_auth-1.dist-info/RECORD": "google-auth", "-google/auth/old.py": "google-auth",
			},
			unsafe: map[string][]python.Reason{"google-auth": {python.Replaces}},
		},
		{
			name: "an upgrade takes its deletions along",
			files: tree{
				"+" + site + "yaml/__init__.py":                      "new",
				"-" + site + "yaml/gone.py":                          "",
				"-" + site + "yaml/__pycache__/gone.cpython-311.pyc": "",
				"-" + site + "PyYAML-5.dist-info":                    "",
				site + "PyYAML-6.dist-info/RECORD":                   "yaml/__init__.py,,\n",
				"-" + site + "removed-1.dist-info":                   "",
				"-" + site + "removed":                               "",
			},
			owners: map[string]string{
				"+yaml/__init__.py": "pyyaml", "-yaml/gone.py": "pyyaml", "-yaml/__pycache__/gone.cpython-311.pyc": "pyyaml",
				"-PyYAML-5.dist-info": "pyyaml", "PyYAML-6.dist-info/RECORD": "pyyaml",
				"-removed-1.dist-info": "pyyaml", "-removed": "pyyaml", // the only one in site-packages
			},
			unsafe: map[string][]python.Reason{"pyyaml": {python.Replaces}},
		},
		{
			name: "a path of two, a .pth, two versions",
			files: tree{
				site + "shared/__init__.py":       "x",
				site + "b-1.dist-info/RECORD":     "shared/__init__.py,,\n",
				site + "a-1.dist-info/RECORD":     "shared/__init__.py,,\nhook.pth,,\n",
				site + "hook.pth":                 "import os",
				site + "c-1.dist-info/RECORD":     "",
				site + "c-2.dist-info/RECORD":     "",
				"opt/venv/d-1.dist-info/RECORD":   "",
				site + "d-1.dist-info/RECORD":     "",
				site + "broken-1.dist-info/WHEEL": "Tag: py3-none-any",
			},
			owners: map[string]string{
				"shared/__init__.py": "a", "hook.pth": "a", "a-1.dist-info/RECORD": "a", "b-1.dist-info/RECORD": "b",
				"c-1.dist-info/RECORD": "c", "c-2.dist-info/RECORD": "c", "/opt/venv/d-1.dist-info/RECORD": "d", "d-1.dist-info/RECORD": "d",
				"broken-1.dist-info/WHEEL": "broken",
			},
			unsafe: map[string][]python.Reason{
				"a": {python.PathFile, python.OwnedTwice}, "b": {python.OwnedTwice}, "c": {python.Twice}, "broken": {python.Unreadable},
			},
		},
		{
			name: "sources",
			files: tree{
				site + "old-1.0-py3.11.egg-info/installed-files.txt": "../old.py\nPKG-INFO\n",
				site + "old-1.0-py3.11.egg-info/PKG-INFO":            "",
				site + "old.py":                                 "x",
				site + "older.egg-info/top_level.txt":           "older\n_older\n",
				site + "older/x.py":                             "x",
				site + "_older.cpython-311-x86_64-linux-gnu.so": "x",
				site + "oldest-2.egg-info":                      "Metadata-Version: 1.0",
				site + "here-1.dist-info/RECORD":                "",
				site + "here-1.dist-info/WHEEL":                 "Root-Is-Purelib: false\nTag: cp311-cp311-linux_x86_64\n",
				site + "index-1.dist-info/RECORD":               "",
				site + "index-1.dist-info/WHEEL":                "Tag: cp311-cp311-manylinux_2_17_x86_64\n",
				site + "git-1.dist-info/RECORD":                 "",
				site + "git-1.dist-info/direct_url.json":        `{"url":"https://example.org/x.git","vcs_info":{"vcs":"git"}}`,
				site + "url-1.dist-info/RECORD":                 "",
				site + "url-1.dist-info/direct_url.json":        `{"url":"https://example.org/url-1-py3-none-any.whl","archive_info":{}}`,
			},
			owners: map[string]string{
				"old-1.0-py3.11.egg-info/installed-files.txt": "old", "old-1.0-py3.11.egg-info/PKG-INFO": "old", "old.py": "old",
				"older.egg-info/top_level.txt": "older", "older/x.py": "older", "_older.cpython-311-x86_64-linux-gnu.so": "older",
				"oldest-2.egg-info": "oldest", "here-1.dist-info/RECORD": "here", "here-1.dist-info/WHEEL": "here",
				"index-1.dist-info/RECORD": "index", "index-1.dist-info/WHEEL": "index",
				"git-1.dist-info/RECORD": "git", "git-1.dist-info/direct_url.json": "git",
				"url-1.dist-info/RECORD": "url", "url-1.dist-info/direct_url.json": "url",
			},
			unsafe: map[string][]python.Reason{
				"old": {python.FromSource}, "older": {python.FromSource}, "oldest": {python.FromSource},
				"here": {python.FromSource}, "git": {python.FromSource},
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := read(t, tt.files)
			got := map[string]string{}
			for p, name := range owned(s, tt.files) {
				mark := ""
				if p[0] == '-' || p[0] == '+' {
					mark, p = p[:1], p[1:]
				}
				if short, ok := strings.CutPrefix(p, site); ok {
					p = short
				} else {
					p = "/" + p
				}
				got[mark+p] = name
			}
			if d := cmp.Diff(tt.owners, got); d != "" {
				t.Errorf("owners (-want +got):\n%s", d)
			}
			unsafe := map[string][]python.Reason{}
			for _, d := range s.Distributions() {
				if d.Unsafe != nil {
					unsafe[d.Name] = d.Unsafe
				}
			}
			want := map[string][]python.Reason{}
			for name, why := range tt.unsafe {
				want[name] = slices.Sorted(slices.Values(why))
			}
			if d := cmp.Diff(want, unsafe); d != "" {
				t.Errorf("unsafe (-want +got):\n%s", d)
			}
		})
	}
}

// installed is a layer with distributions of a size in MiB each.
func installed(dists map[string]int) tree {
	t := tree{"app/requirements.txt": "x"}
	for name, size := range dists {
		t[site+name+"/data"] = strings.Repeat("x", size<<20)
		t[site+name+"-1.dist-info/RECORD"] = name + "/data,,\n"
	}
	return t
}

func groupOf(t *testing.T, files tree, max int) map[string]string {
	t.Helper()
	g := read(t, files).Groups(max)
	out := map[string]string{}
	for p := range files {
		i := g.Of(p)
		if i < 0 || i >= g.Len() {
			t.Fatalf("%s is in group %d of %d", p, i, g.Len())
		}
		out[p] = fmt.Sprintf("%d %s", i, g.Name(i))
	}
	return out
}

func TestGroupsOfOneDoNotDependOnOthers(t *testing.T) {
	before := groupOf(t, installed(map[string]int{"torch": 9, "numpy": 10, "idna": 0, "six": 1}), 40)
	for p, want := range map[string]string{
		site + "numpy/data": "0 numpy", site + "torch-1.dist-info/RECORD": "1 torch", "app/requirements.txt": "10 other files",
	} {
		if before[p] != want {
			t.Errorf("%s is in group %q, want %q", p, before[p], want)
		}
	}
	after := groupOf(t, installed(map[string]int{"torch": 9, "numpy": 10, "idna": 0, "six": 1, "requests": 0}), 40)
	for p, was := range before {
		if after[p] != was {
			t.Errorf("%s moved from %q to %q", p, was, after[p])
		}
	}
}

func TestGroupsHaveABudget(t *testing.T) {
	big := map[string]int{}
	for i := range 40 {
		big[fmt.Sprintf("d%02d", i)] = 9 + i%2
	}
	files := installed(big)
	s := read(t, files)
	for _, tt := range []struct{ max, want int }{{0, 1}, {8, 1}, {9, 9}, {12, 12}, {40, 40}, {1000, 40}} {
		if got := s.Groups(tt.max).Len(); got != tt.want {
			t.Errorf("Groups(%d) makes %d, want %d", tt.max, got, tt.want)
		}
	}
	g := s.Groups(12)
	alone := []string{g.Name(0), g.Name(1), g.Name(2)}
	if want := []string{"d01", "d03", "d05"}; !slices.Equal(alone, want) {
		t.Errorf("alone are %v, want the biggest, %v", alone, want)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add("a.py,sha256=x,1\n../../../bin/x,,\n", "[console_scripts]\nx=y:z\n", `{"url":"x"}`)
	f.Add("\"a\nb\",,", "[", "")
	f.Fuzz(func(t *testing.T, record, points, direct string) {
		files := tree{
			site + "a.py": "x", "usr/bin/x": "x", "etc/passwd": "x",
			site + "x-1.dist-info/RECORD": record, site + "x-1.dist-info/entry_points.txt": points, site + "x-1.dist-info/direct_url.json": direct,
		}
		s := read(t, files)
		if n := len(s.Distributions()); n != 1 {
			t.Errorf("%d distributions, want 1", n)
		}
		again := read(t, files)
		if a, b := owned(s, files), owned(again, files); !maps.Equal(a, b) {
			t.Errorf("owners differ: %v and %v", a, b)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	var record bytes.Buffer
	files := tree{}
	for i := range 20_000 {
		fmt.Fprintf(&record, "x/m%d.py,sha256=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA,1\n", i)
		files[fmt.Sprintf("%sx/m%d.py", site, i)] = ""
	}
	files[site+"x-1.dist-info/RECORD"] = record.String()
	list := files.files()
	for b.Loop() {
		if _, err := python.Read(list, files.open); err != nil {
			b.Fatal(err)
		}
	}
}
