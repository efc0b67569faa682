package oci_test

import (
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve/plan"
)

// configOf is the part of a configuration that containers are run with.
func configOf(t *testing.T, img *oci.Image) map[string]any {
	t.Helper()
	raw, err := img.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	c, _ := doc["config"].(map[string]any)
	c["author"] = doc["author"]
	return c
}

func TestEveryFieldOfSetIsInTheConfiguration(t *testing.T) {
	b := builder(t, nil)
	escaped := true
	img := build(t, b, oci.Scratch,
		plan.Set{OnBuild: []string{"RUN old"}, ExposedPorts: []string{"80/tcp"}, Cmd: []string{"gone"}},
		plan.Set{
			Env: []plan.Var{{Name: "A", Value: "1"}}, User: "app", Entrypoint: []string{"/e"}, Labels: map[string]string{"l": "v"},
			ExposedPorts: []string{"80/udp"}, Volumes: []string{"/data"}, StopSignal: "SIGINT", Shell: []string{"/bin/bash", "-c"},
			Healthcheck: &plan.Healthcheck{Test: []string{"CMD", "true"}, Interval: time.Second, Timeout: 2, StartPeriod: 3, StartInterval: 4, Retries: 5},
			DropOnBuild: true, OnBuild: []string{"RUN new"}, Author: "me", ArgsEscaped: &escaped,
		})
	want := map[string]any{
		"ArgsEscaped": true, "Entrypoint": []any{"/e"}, "Env": []any{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "A=1"},
		"ExposedPorts": map[string]any{"80/tcp": map[string]any{}, "80/udp": map[string]any{}}, "Labels": map[string]any{"l": "v"},
		"Healthcheck": map[string]any{"Test": []any{"CMD", "true"}, "Interval": 1e9, "Timeout": 2.0, "StartPeriod": 3.0, "StartInterval": 4.0, "Retries": 5.0},
		"OnBuild":     []any{"RUN new"}, "Shell": []any{"/bin/bash", "-c"}, "StopSignal": "SIGINT", "User": "app",
		"Volumes": map[string]any{"/data": map[string]any{}}, "WorkingDir": "/", "author": "me",
	}
	if d := cmp.Diff(want, configOf(t, img)); d != "" {
		t.Error(d)
	}
	ref := "oci:" + filepath.Join(t.TempDir(), "base") + ":latest"
	out, err := oci.ParseOutput(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := oci.WriteArchive(t.Context(), out, img, "base:latest"); err != nil {
		t.Fatal(err)
	}
	want["Cmd"] = []any{"x"}
	if d := cmp.Diff(want, configOf(t, build(t, b, ref, plan.Set{Cmd: []string{"x"}}))); d != "" {
		t.Errorf("an image on top: %s", d)
	}
}
