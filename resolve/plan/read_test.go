package plan_test

import (
	"encoding/json"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kanso-build/kanso/resolve/plan"
)

// What is written is read as what it was: nil and empty words are not the same.
func TestPlansAreReadAsTheyWereWritten(t *testing.T) {
	shell := true
	p := plan.Plan{Stages: []plan.Stage{
		{Name: "one", Base: "python:3.11", Platform: "linux/amd64", Steps: []plan.Step{
			plan.Set{Entrypoint: []string{}, Env: []plan.Var{{Name: "A", Value: `"<&>`}}, ArgsEscaped: &shell},
			plan.Set{Cmd: []string{"x"}, Labels: map[string]string{"a": "b"}, Healthcheck: &plan.Healthcheck{Test: []string{"NONE"}, Interval: time.Second}},
			plan.Write{Files: []plan.File{{Path: "/a", Mode: fs.ModeDir | 0o777}, {Path: "/a/b", Mode: 0o666, Data: "b"}}, Owner: "z"},
			plan.Install{Installer: "pip", Requirements: "a==1\n", File: "/app/r", Command: []string{"pip", "install"}, Env: []string{"TOKEN"}},
		}},
		{BaseStage: "one", Steps: []plan.Step{
			plan.Copy{Files: []string{"a", "b"}, Dest: "/app", Modes: plan.ModesGit, AddMode: 0o666, Adopt: true},
			plan.Copy{From: plan.Source{Stage: "one"}, Patterns: []string{"x*"}, Dest: "/y/", Modes: plan.ModesDisk, Unpack: plan.UnpackLocal},
			plan.Run{Args: []string{"/bin/sh", "-c", "true"}, Mounts: []plan.Mount{{Type: plan.MountCache, Target: "/c", ID: "c"}}, Ulimits: []plan.Ulimit{{Name: "nofile", Soft: 1, Hard: -1}}},
		}, Lines: []string{"Dockerfile:1", "Dockerfile:2", "Dockerfile:3"}},
		{Base: "scratch", Steps: []plan.Step{}},
	}}
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var got plan.Plan
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, got); diff != "" {
		t.Error(diff)
	}
}

func TestPlansOfOtherKindsAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		`{"stages":[{"base":"a","steps":[{"step":"copy"},{"step":"fetch"}]}]}`: `step 2: unknown kind "fetch"`,
		`{"stages":[{"base":"a","steps":[7]}]}`:                                "step 1: ",
		`{"stages":[{"base":"a","steps":[{"step":"run","args":"x"}]}]}`:        "step 1: ",
		`{"stages":7}`: "stages",
	} {
		var p plan.Plan
		if err := json.Unmarshal([]byte(text), &p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
