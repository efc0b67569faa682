package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// settledCase is a command, and whether its outcome is known without running it.
type settledCase struct {
	command string
	known   bool
}

// TestWhatIsNotRunIsAsIfItHadBeenRun builds Dockerfiles that end in a chmod or a
// chown twice: as they are, and so that a shell has to run it. Both give one tree.
func TestWhatIsNotRunIsAsIfItHadBeenRun(t *testing.T) {
	bases := readBases(t, map[string]string{"": testCache("dockerfile/bases"), "zenml": testCache("base")})
	k := &kansoBuilder{bases: bases, cache: openCacheDir(t)}
	cases := []settledCase{
		{"chmod -R a+rw .", true}, {"chmod -R a+rw /app", true}, {"chmod -R 755 .", true}, {"chmod 0700 run.sh", true},
		{"chmod u-w,g+x,o=r run.sh data", true}, {"chmod -R go-rwx,a+X data run.sh", true}, {"chmod -R a=rX data", true}, {"chmod -R a-rwx data", true},
		{"chown -R 7:8 data", true}, {"chown 9 run.sh", true}, {"chown :9 run.sh data", true}, {"chmod -R a+rw data /app/data run.sh", true},
		// The rest is left to the command.
		{"chmod +x run.sh", false}, {"chmod -R u+s data", false}, {"chmod 4755 run.sh", false}, {"chmod a+x *.sh", false},
		{"chmod a+x 'run.sh'", false}, {"chmod -v a+x run.sh", false}, {"chmod a+w link", false}, {"chown -R 7:8 .", false}, {"chown -h 7 link", false},
		{"chmod -R a+rw data/../data", false}, {"chmod a+rw /etc/passwd", false}, {"chown -R tester data", false},
		{"cd data; chmod -R a+rw .", false}, {"chmod a+rw run.sh # all", false}, {"env chmod a+rw run.sh", false},
	}
	for _, base := range []string{"busybox", "zenml"} {
		for _, c := range cases {
			if base == "zenml" && (!c.known || testing.Short()) {
				continue // what is run is looked at once
			}
			t.Run(base+"/"+c.command, func(t *testing.T) {
				native, ran := settled(t, k, base, c.command)
				if (ran == 0) != c.known {
					t.Errorf("%d steps ran", ran)
				}
				if !c.known {
					return
				}
				again, ran := settled(t, k, base, c.command+" && true")
				if ran != 1 {
					t.Errorf("%d steps ran, to compare", ran)
				}
				if d := cmp.Diff(again, native); d != "" {
					t.Errorf("running it gives something else (-run +known):\n%s", d)
				}
			})
		}
	}
}

// TestWhatCouldChangeACommandIsRun has a chmod that is not what it seems.
func TestWhatCouldChangeACommandIsRun(t *testing.T) {
	bases := readBases(t, map[string]string{"": testCache("dockerfile/bases")})
	k := &kansoBuilder{bases: bases, cache: openCacheDir(t)}
	for name, before := range map[string]string{
		"another user": "USER tester", "another shell": `SHELL ["/bin/busybox", "sh", "-c"]`, "another path": "ENV PATH=/app:/bin", "a library": "ENV LD_PRELOAD=/none",
		"another program": "COPY --chmod=755 run.sh /bin/chmod", "a build argument": "ARG LD_PRELOAD=/none", "what a step left": "RUN touch new",
	} {
		t.Run(name, func(t *testing.T) {
			// The command may fail, too: that it was run is all that counts.
			if _, ran := settled(t, k, "busybox", "chmod a+rw run.sh", before); ran == 0 {
				t.Error("it was not run")
			}
		})
	}
}

// settled builds a few files with a command on top and says what came out, and
// how many steps ran. A build that fails in its last step ran it.
func settled(t *testing.T, k *kansoBuilder, base, command string, before ...string) (answer string, ran int) {
	t.Helper()
	lines := append([]string{"FROM " + base, "WORKDIR /app", "COPY . ."}, before...)
	c := &dockerCase{env: environ{}, archive: &txtar.Archive{
		Comment: []byte("mode 640 data/b.csv\nmode 711 data/deep\nmode 755 run.sh\nlink link run.sh\ndir 700 data/empty\nfifo ../none\n"),
		Files: []txtar.File{
			{Name: "Dockerfile", Data: []byte(strings.Join(append(lines, "RUN "+command), "\n") + "\n")},
			{Name: "run.sh", Data: []byte("#!/bin/sh\n")}, {Name: "data/b.csv", Data: []byte("1,2\n")}, {Name: "data/deep/c", Data: []byte("c")},
		},
	}}
	c.write(t)
	dir := t.TempDir()
	out, meta := filepath.Join(dir, "image"), filepath.Join(dir, "meta.json")
	if log, err := k.build(t, c, []string{"--metadata-file", meta}, out); err != nil {
		if len(before) == 0 {
			t.Fatal(log)
		}
		return "", strings.Count(log, "exit code") // once it is told of
	}
	img, err := imageIn(out, "")
	must(t, err)
	answer, err = k.bases.answer(img)
	must(t, err)
	data, err := os.ReadFile(meta)
	must(t, err)
	var m struct{ Images []struct{ Ran int } }
	must(t, json.Unmarshal(data, &m))
	for _, i := range m.Images {
		ran = i.Ran
	}
	var files []string
	for line := range strings.Lines(answer) {
		if !strings.HasPrefix(line, "Dockerfile") && !strings.Contains(line, "app/Dockerfile") {
			files = append(files, line)
		}
	}
	return strings.Join(files, ""), ran
}
