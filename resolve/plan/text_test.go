package plan_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kanso-build/kanso/resolve/plan"
)

func TestStepsReadLikeADockerfile(t *testing.T) {
	for _, c := range []struct {
		step fmt.Stringer
		want string
	}{
		{plan.Copy{Files: []string{"a", "b"}, Dest: "/app", Owner: "z"}, "COPY 2 files to /app as z"},
		{plan.Copy{Patterns: []string{"a", "b*"}, Dest: "/d/"}, "COPY a b* /d/"},
		{
			plan.Copy{From: plan.Source{Stage: "s"}, Patterns: []string{"x"}, Dest: "/y", Owner: "me:", Chmod: "u+x", Link: true, Parents: true, Exclude: []string{"*.o"}},
			"COPY --from=s --chown=me --chmod=u+x --link --parents --exclude=*.o x /y",
		},
		{plan.Copy{Patterns: []string{"a.tar"}, Dest: "/", Unpack: plan.UnpackLocal}, "ADD a.tar /"},
		{
			plan.Copy{From: plan.Source{URL: "https://me:secret@example.com/a.tgz", Checksum: "sha256:1"}, Patterns: []string{"a.tgz"}, Dest: "/", Unpack: plan.UnpackAll},
			"ADD --checksum=sha256:1 --unpack https://me:xxxxx@example.com/a.tgz /",
		},
		{plan.Copy{From: plan.Source{Git: "https://example.com/a.git#v1:sub", KeepGit: true}, Patterns: []string{"."}, Dest: "/a"}, "ADD --keep-git-dir https://example.com/a.git#v1:sub /a"},
		{plan.Copy{From: plan.Source{Inline: []plan.File{{Path: "EOF"}}}, Patterns: []string{"EOF"}, Dest: "/a"}, "COPY <<EOF /a"},
		{plan.Write{Files: []plan.File{{Path: "/a"}, {Path: "/b"}}}, "WRITE /a /b"},
		{plan.Write{Files: []plan.File{{Path: "/a"}}, Missing: true}, "WORKDIR /a"},
		{plan.Run{Args: []string{"/bin/sh", "-c", "a\nb"}, Vars: []plan.Var{{Name: "TOKEN", Value: "secret"}}}, `RUN a\nb`},
		{plan.Run{Args: []string{"echo", "a b"}, Network: "none"}, "RUN --network=none echo 'a b'"},
		{
			plan.Run{Args: []string{"/bin/sh", "-c", "make"}, Network: "host", Mounts: []plan.Mount{
				{Type: plan.MountCache, ID: "/c", Target: "/c", Sharing: plan.SharingLocked},
				{Type: plan.MountBind, From: plan.Source{Stage: "s"}, Path: "p", Target: "/b"},
				{Type: plan.MountSecret, ID: "k", Env: "K", Required: true, ReadOnly: true},
				{Type: plan.MountTmpfs, Target: "/t", Size: 5},
			}},
			"RUN --mount=type=cache,id=/c,target=/c,sharing=locked --mount=type=bind,from=s,source=p,target=/b,rw " +
				"--mount=type=secret,id=k,env=K,required --mount=type=tmpfs,target=/t,size=5 make",
		},
		{plan.Set{Env: []plan.Var{{Name: "A", Value: "1"}}, WorkingDir: "/w", User: "u"}, "ENV A=1; WORKDIR /w; USER u"},
		{plan.Set{Entrypoint: []string{"a"}, Cmd: []string{}, Shell: []string{"sh", "-c"}}, `SHELL ["sh","-c"]; ENTRYPOINT ["a"]; CMD []`},
		{plan.Set{ExposedPorts: []string{"1/tcp", "1/udp"}, Volumes: []string{"/v w"}, StopSignal: "INT"}, `EXPOSE 1/tcp 1/udp; VOLUME ["/v w"]; STOPSIGNAL INT`},
		{plan.Set{DropOnBuild: true, OnBuild: []string{"RUN x"}, Author: "me"}, "ONBUILD (none); ONBUILD RUN x; MAINTAINER me"},
		{plan.Set{Healthcheck: &plan.Healthcheck{Test: []string{"NONE"}}}, "HEALTHCHECK NONE"},
		{
			plan.Set{Healthcheck: &plan.Healthcheck{
				Test: []string{"CMD-SHELL", "curl localhost"}, Interval: time.Second, Timeout: time.Minute,
				StartPeriod: time.Hour, StartInterval: time.Millisecond, Retries: 3,
			}},
			"HEALTHCHECK --interval=1s --timeout=1m0s --start-period=1h0m0s --start-interval=1ms --retries=3 CMD curl localhost",
		},
		{plan.Set{Healthcheck: &plan.Healthcheck{Test: []string{"CMD", "a", "b"}}}, `HEALTHCHECK CMD ["a","b"]`},
	} {
		got := c.step.String()
		if got != c.want {
			t.Errorf("%+v reads\n%s, not\n%s", c.step, got, c.want)
		}
		if strings.Contains(got, "\n") || strings.Contains(got, "secret@") {
			t.Errorf("%q", got)
		}
	}
}

func TestStepsOfAStageAreObjectsWithTheirKind(t *testing.T) {
	got, err := json.Marshal(plan.Stage{
		Base:  "scratch",
		Steps: []plan.Step{plan.Set{}, plan.Set{Cmd: []string{}}, plan.Run{Args: []string{"x"}}},
		Lines: []string{"Dockerfile:2", "", "Dockerfile:3"},
	})
	want := `{"base":"scratch","lines":["Dockerfile:2","","Dockerfile:3"],"steps":[{"step":"set"},{"step":"set","cmd":[]},{"step":"run","args":["x"]}]}`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
}
