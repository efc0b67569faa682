package oci

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestACommandIsTakenApart(t *testing.T) {
	tests := []struct {
		command, requirements string
		want                  string // "HEAD|OPTIONS|LINES", or an error after "!"
	}{
		{"pip install --no-cache-dir --default-timeout=60 -r f", "a\nb>=1,<2 # why\n\n# no\nc[x,y]~=1.0; python_version > '3'\n", "pip install|--no-cache-dir --default-timeout=60|"},
		{"uv pip install --system -r f", "--index-url https://x/simple\n--extra-index-url=https://y\n--pre\n-f https://z\nA.b-C", "uv pip install|--system|--index-url https://x/simple;--extra-index-url=https://y;--pre;-f https://z"},
		{"pip install -i https://x -r f --upgrade", "a (>=1)", "pip install|-i https://x --upgrade|"},
		{"pip install uv", "", "!the command is none of pip or uv alone"},
		{"/bin/sh -c pip", "a", "!the command is none of pip or uv alone"},
		{"pip install -r f -r g", "a", "!the command has -r"},
		{"pip install --target /x -r f", "a", "!the command has --target"},
		{"pip install a", "a", "!the command has a"},
		{"pip install --pre", "a", "!the command has not one file of requirements"},
		{"pip install -r f", "-c constraints.txt", "!the requirements have -c"},
		{"pip install -r f", "-r other.txt", "!the requirements have -r"},
		{"pip install -r f", "-e .", "!the requirements have -e"},
		{"pip install -r f", "--find-links wheels", "!the requirements have --find-links"},
		{"pip install -r f", "--no-binary :all:", "!the requirements have --no-binary"},
		{"pip install -r f", "a --hash=sha256:00", "!the requirement \"a --hash=sha256:00\" is not a name and versions"},
		{"pip install -r f", "a==1 \\\n --hash=sha256:00", "!the requirement \"a==1 \\\\\" is not a name and versions"},
		{"pip install -r f", "a @ https://x/a.whl", "!the requirement \"a @ https://x/a.whl\" is not a name and versions"},
		{"pip install -r f", "git+https://x/a", "!the requirement \"git+https://x/a\" is not a name and versions"},
		{"pip install -r f", "./a", "!the requirement \"./a\" is not a name and versions"},
		{"pip install -r f", "a-1-py3-none-any.whl", "!the requirement \"a-1-py3-none-any.whl\" is not a name and versions"},
		{"pip install -r f", "$NAME", "!the requirement \"$NAME\" is not a name and versions"},
	}
	for _, test := range tests {
		file := "/app/f"
		if strings.HasSuffix(test.command, "install uv") {
			file = ""
		}
		l, err := takeApart(strings.Fields(test.command), file, test.requirements)
		got := strings.Join(l.head, " ") + "|" + strings.Join(l.options, " ") + "|" + strings.Join(l.lines, ";")
		if err != nil {
			got = "!" + err.Error()
		}
		if got != test.want {
			t.Errorf("%s with %q is %s, want %s", test.command, test.requirements, got, test.want)
		}
	}
}

func TestReportsOfInstallers(t *testing.T) {
	item := func(more string) string {
		return `{"version":"1","install":[{"metadata":{"name":"A.b","version":"1"},"requested":true,` + more + `}]}`
	}
	tests := map[string]struct{ report, want string }{
		"a wheel":   {item(`"download_info":{"url":"https://x/a.whl#sha256=1?q","archive_info":{"hashes":{"sha256":"00"}}}`), "a-b==1 --hash=sha256:00\n"},
		"old form":  {item(`"download_info":{"url":"https://x/a.whl","archive_info":{"hash":"sha256=01"}}`), "a-b==1 --hash=sha256:01\n"},
		"a source":  {item(`"download_info":{"url":"https://x/a.tar.gz","archive_info":{"hash":"sha256=01"}}`), "a-b is a source distribution"},
		"no hash":   {item(`"download_info":{"url":"file:///a.whl","archive_info":{}}`), "the index has no sha256 of a-b"},
		"a URL":     {item(`"is_direct":true,"download_info":{"url":"https://x/a.whl"}`), "a-b comes from a URL"},
		"a new one": {`{"version":"2"}`, `pip's report has the version "2"`},
		"nonsense":  {`WARNING: {`, "read report of pip: invalid character 'W' looking for beginning of value"},
	}
	for name, test := range tests {
		pins, err := pinsOfReport([]byte(test.report))
		got := lines(nil, pins, true)
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s is %q, want %q", name, got, test.want)
		}
	}
}

func TestWhatUVPrints(t *testing.T) {
	printed := "Resolved 3 packages in 1ms\nWould install 2 packages\n - old==1.0\n + old==2.0\n + New_one==1.0+cu12\n"
	pins, replaced, err := pinsOfUV(printed)
	if err != nil || !slices.Equal(replaced, []string{"old"}) {
		t.Errorf("replaced are %q, error %v", replaced, err)
	}
	hashes := "old==2.0 \\\n    --hash=sha256:22 \\\n    --hash=sha256:11\nnew-one==1.0+cu12 \\\n    --hash=sha256:33\n"
	if err := addHashes(pins, hashes); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff("--pre\nold==2.0 --hash=sha256:11 --hash=sha256:22\nnew-one==1.0+cu12 --hash=sha256:33\n", lines([]string{"--pre"}, pins, true)); d != "" {
		t.Error(d)
	}
	for text, want := range map[string]string{
		" ~ a==1":                      "a is installed again",
		" + a==1 (from https://x/a)":   "a comes from a URL",
		" + a==1 (from file:///a.whl)": "a comes from a URL",
	} {
		if _, _, err := pinsOfUV(text); err == nil || err.Error() != want {
			t.Errorf("%q is %v, want %s", text, err, want)
		}
	}
	for text, want := range map[string]string{"": "the index has no hash of a", "a==2 \\\n --hash=sha256:0": "uv resolves a differently", "b==1": "uv resolves b differently"} {
		if err := addHashes([]pin{{Name: "a", Version: "1"}}, text); err == nil || err.Error() != want {
			t.Errorf("%q is %v, want %s", text, err, want)
		}
	}
}

func TestWhatStays(t *testing.T) {
	p := func(name, version, hash string, requested bool) pin {
		return pin{Name: name, Version: version, Hashes: []string{hash}, Requested: requested}
	}
	was := []pin{p("same", "1", "1", true), p("newer", "1", "1", true), p("other-hash", "1", "1", true), p("asked", "1", "1", false), p("gone", "1", "1", true), {Name: "unknown", Version: "1"}}
	is := []pin{p("same", "1", "1", true), p("newer", "2", "2", true), p("other-hash", "1", "2", true), p("asked", "1", "1", true), {Name: "unknown", Version: "1"}}
	want := JoinArgs{Stay: []string{"same"}, Add: []string{"newer", "other-hash", "asked", "unknown"}, Dependencies: []string{"unknown"}, Leave: []string{"asked", "gone", "newer", "other-hash", "unknown"}}
	if d := cmp.Diff(want, compare(was, is)); d != "" {
		t.Error(d)
	}
}
