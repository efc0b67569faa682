package oci_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve/plan"
)

// fakePip installs what a file of requirements, NAME==VERSION, names, as pip
// does: "needs-x" needs x==1, "pth" has a .pth file, "thief" a file of alpha's,
// and "stray" leaves a file that it does not list.
func fakePip(args ...string) error {
	at := slices.Index(args, "-r")
	if at < 0 {
		return nil // --version
	}
	data, err := os.ReadFile(args[at+1])
	if err != nil {
		return err
	}
	type item struct {
		name, version string
		requested     bool
	}
	var items []item
	for line := range strings.Lines(string(data)) {
		name, version, _ := strings.Cut(strings.Fields(line)[0], "==")
		items = append(items, item{name, version, true})
		if need, ok := strings.CutPrefix(name, "needs-"); ok && !slices.Contains(args, "--no-deps") && !strings.Contains(string(data), "\n"+need+"==") {
			items = append(items, item{need, "1", false})
		}
	}
	var list []any
	for _, i := range items {
		sum := sha256.Sum256([]byte(i.name + i.version))
		list = append(list, map[string]any{
			"metadata": map[string]string{"name": i.name, "version": i.version}, "requested": i.requested,
			"download_info": map[string]any{"url": "https://index/" + i.name + ".whl", "archive_info": map[string]any{"hashes": map[string]string{"sha256": hex.EncodeToString(sum[:])}}},
		})
	}
	report, err := json.Marshal(map[string]any{"version": "1", "install": list})
	if err != nil {
		return err
	}
	if slices.Contains(args, "--dry-run") {
		_, err = os.Stdout.Write(report)
		return err
	}
	if file := os.Getenv("PIP_REPORT"); file != "" {
		if err := os.WriteFile(file, report, 0o600); err != nil {
			return err
		}
	}
	for _, i := range items {
		if err := fakeWheel(i.name, i.version, i.requested); err != nil {
			return err
		}
	}
	fmt.Println("installed", len(items))
	return nil
}

func fakeWheel(name, version string, requested bool) error {
	site := "/usr/lib/python3/site-packages"
	info := name + "-" + version + ".dist-info"
	files := map[string]string{name + "/__init__.py": name + version, name + "/a/data": strings.Repeat(name, 50)}
	switch name {
	case "pth":
		files["pth.pth"] = ""
	case "thief":
		files["alpha/__init__.py"] = "stolen"
	}
	record := ""
	if requested {
		files[info+"/REQUESTED"] = ""
	}
	for _, file := range slices.Sorted(func(yield func(string) bool) {
		for file := range files {
			if !yield(file) {
				return
			}
		}
	}) {
		record += file + ",sha256=x,1\r\n"
	}
	files[info+"/RECORD"] = record
	if name == "stray" {
		files["nobodys"] = ""
	}
	for file, data := range files {
		file = filepath.Join(site, file)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(data), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile("/tmp/dropped-by-"+name, nil, 0o600)
}

// pipInstall is a step that installs these with [fakePip].
func pipInstall(requirements ...string) plan.Install {
	return plan.Install{
		Installer: "pip", Command: []string{"pip", "install", "--no-cache-dir", "-r", "requirements.txt"},
		Requirements: strings.Join(requirements, "\n"), File: "/app/requirements.txt",
	}
}

func TestAnInstallStartsFromAnEarlierOne(t *testing.T) {
	dir := func(p string) layers.File { return layers.File{Path: p, Mode: fs.ModeDir | 0o755} }
	base := runBase(t, append(usual(), dir("app"), dir("bin"), layers.File{Path: "bin/pip", Mode: fs.ModeSymlink | 0o777, Link: "/prog"})...)
	steps := func(requirements ...string) []plan.Step {
		look := run("inspect", "/usr/lib/python3/site-packages", "/usr/lib/python3/site-packages/alpha/a/data", "/usr/lib/python3/site-packages/beta-1.dist-info/RECORD", "/app/requirements.txt", "/tmp")
		return []plan.Step{pipInstall(requirements...), look}
	}
	tests := map[string]struct {
		before, after string
		want          *oci.InstallReport
	}{
		"one more":            {"alpha==1", "alpha==1 beta==1", &oci.InstallReport{Taken: []string{"alpha==1"}, Installed: []string{"beta==1"}}},
		"one less":            {"alpha==1 beta==1", "beta==1", &oci.InstallReport{Taken: []string{"beta==1"}}},
		"upgraded":            {"alpha==1 beta==1", "alpha==2 beta==1", &oci.InstallReport{Taken: []string{"beta==1"}, Installed: []string{"alpha==2"}}},
		"a new dependency":    {"alpha==1", "alpha==1 needs-beta==1", &oci.InstallReport{Taken: []string{"alpha==1"}, Installed: []string{"needs-beta==1", "beta==1"}}},
		"asked for now":       {"alpha==1 needs-beta==1", "alpha==1 needs-beta==1 beta==1", &oci.InstallReport{Taken: []string{"alpha==1", "needs-beta==1"}, Installed: []string{"beta==1"}}},
		"one path":            {"alpha==1", "alpha==1 thief==1", &oci.InstallReport{Joint: "/usr/lib/python3/site-packages/alpha/__init__.py belongs to what was installed before, too"}},
		"a path file":         {"alpha==1", "alpha==1 pth==1", &oci.InstallReport{Joint: "pth has a .pth file"}},
		"nobody's":            {"alpha==1", "alpha==1 stray==1", &oci.InstallReport{Joint: "/usr/lib/python3/site-packages/nobodys belongs to no distribution"}},
		"nobody's, before":    {"alpha==1 stray==1", "alpha==1 stray==1 beta==1", &oci.InstallReport{Joint: "/usr/lib/python3/site-packages/nobodys belongs to no distribution"}},
		"nothing in common":   {"alpha==1", "beta==1", &oci.InstallReport{Joint: "an earlier install has nothing of it"}},
		"not from an index":   {"alpha==1", "alpha==1 be@ta==1", &oci.InstallReport{Joint: `the requirement "be@ta==1" is not a name and versions`}},
		"a file with options": {"alpha==1", "alpha==1 -e==1", &oci.InstallReport{Joint: "the requirements have -e"}},
	}
	for where, w := range ways() {
		warm, printed := running(t, w, nil)
		cold, wanted := running(t, w, nil)
		for name, test := range tests {
			if where != "overlay" && name != "one more" || testing.Short() && name != "upgraded" && name != "one path" {
				continue
			}
			t.Run(where+" "+name, func(t *testing.T) {
				made := func(b *oci.Builder, requirements string) (*oci.Image, *oci.InstallReport) {
					t.Helper()
					printed.Reset()
					wanted.Reset()
					own := plan.Set{WorkingDir: "/app", Env: []plan.Var{{Name: "CASE", Value: name}}} // so that it starts from its own
					img := build(t, b, base, append([]plan.Step{own}, steps(strings.Fields(requirements)...)...)...)
					return img, img.Steps[1].Install
				}
				if _, told := made(warm, test.before); told != nil {
					t.Fatalf("the first build tells %+v", told)
				}
				whole, told := made(cold, test.after)
				if told != nil {
					t.Fatalf("the cold build tells %+v", told)
				}
				_, want, _ := strings.Cut(wanted.String(), "/usr/lib")
				img, told := made(warm, test.after)
				if d := cmp.Diff(test.want, told); d != "" && w.mode == sandbox.ModeOverlay {
					t.Error(d, printed)
				} else if told != nil && w.mode != sandbox.ModeOverlay {
					t.Errorf("there is no tree to start from, and yet %+v", told)
				}
				if digest(t, img) != digest(t, whole) {
					t.Errorf("the image is %s, cold %s", digest(t, img), digest(t, whole))
				}
				if _, got, _ := strings.Cut(printed.String(), "/usr/lib"); got != want {
					t.Errorf("a later step saw (-want +got):\n%s", cmp.Diff(want, got))
				}
				if strings.Contains(strings.Join(headers(t, img, 2), "\n"), "dropped") {
					t.Error("what was left in /tmp is in the image")
				}
			})
		}
	}
}

// What one project installed is not taken by another one.
func TestAnEarlierInstallIsItsProjects(t *testing.T) {
	base := runBase(t, append(usual(), layers.File{Path: "bin", Mode: fs.ModeDir | 0o755}, layers.File{Path: "bin/pip", Mode: fs.ModeSymlink | 0o777, Link: "/prog"})...)
	b, _ := running(t, way{}, nil)
	told := func(project string, requirements ...string) *oci.InstallReport {
		b.Project = project
		return build(t, b, base, plan.Set{WorkingDir: "/app"}, pipInstall(requirements...)).Steps[1].Install
	}
	told("/one", "alpha==1")
	if r := told("/two", "alpha==1", "beta==1"); r != nil {
		t.Errorf("another project starts from %+v", r)
	}
	if r := told("/one", "alpha==1", "beta==1"); r == nil || len(r.Taken) != 1 {
		t.Errorf("the same one starts from %+v", r)
	}
	b.NoCache = true
	if r := told("/one", "alpha==1", "beta==1", "gamma==1"); r != nil {
		t.Errorf("without the cache it starts from %+v", r)
	}
	b.NoCache = false
	p := plan.Plan{Stages: []plan.Stage{{Base: base, Steps: []plan.Step{plan.Set{WorkingDir: "/app"}, pipInstall("alpha==1")}}}}
	p.Stages[0].Steps[1] = pipInstall("delta==1")
	reports, err := b.Explain(t.Context(), p)
	if err != nil || reports[1].Install == nil || reports[1].Install.From != 3 {
		t.Errorf("the explanation is %+v, %v", reports, err)
	}
}
