package oci

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/resolve/plan"
)

// set changes the configuration as a Set step says.
func (st *state) set(s plan.Set) {
	c := &st.config.Config
	for _, v := range s.Env {
		c.Env = setEnv(c.Env, v.Name, v.Value)
	}
	replace(&c.WorkingDir, s.WorkingDir)
	replace(&c.User, s.User)
	replace(&c.StopSignal, s.StopSignal)
	replace(&st.config.Author, s.Author)
	if s.Entrypoint != nil {
		c.Entrypoint, c.Cmd = slices.Clone(s.Entrypoint), nil
	}
	if s.Cmd != nil {
		c.Cmd = slices.Clone(s.Cmd)
	}
	if s.Shell != nil {
		c.Shell = slices.Clone(s.Shell)
	}
	for k, v := range s.Labels {
		if c.Labels == nil {
			c.Labels = map[string]string{}
		}
		c.Labels[k] = v
	}
	c.ExposedPorts = withNames(c.ExposedPorts, s.ExposedPorts)
	c.Volumes = withNames(c.Volumes, s.Volumes)
	if s.DropOnBuild {
		c.OnBuild = nil
	}
	c.OnBuild = append(c.OnBuild, s.OnBuild...)
	if s.ArgsEscaped != nil {
		c.ArgsEscaped = *s.ArgsEscaped
	}
	if h := s.Healthcheck; h != nil {
		c.Healthcheck = &v1.HealthConfig{Test: slices.Clone(h.Test), Interval: h.Interval, Timeout: h.Timeout, StartPeriod: h.StartPeriod, Retries: h.Retries}
		st.startInterval = h.StartInterval
	}
	st.config.History = append(st.config.History, v1.History{Created: st.created, CreatedBy: s.String(), EmptyLayer: true})
}

func replace(old *string, value string) {
	if value != "" {
		*old = value
	}
}

// withNames adds names to a set.
func withNames(set map[string]struct{}, names []string) map[string]struct{} {
	if set == nil && len(names) > 0 {
		set = map[string]struct{}{}
	}
	for _, name := range names {
		set[name] = struct{}{}
	}
	return set
}

// healthcheck is ggcr's, with the field that it does not know.
type healthcheck struct {
	v1.HealthConfig
	StartInterval time.Duration `json:",omitempty"`
}

// startInterval reads that field of a configuration.
func startInterval(config []byte) (time.Duration, error) {
	var c struct {
		Config struct{ Healthcheck healthcheck } `json:"config"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return 0, fmt.Errorf("read configuration: %w", err)
	}
	return c.Config.Healthcheck.StartInterval, nil
}

// encodeConfig is a configuration as JSON, with that field if it is set.
func encodeConfig(cfg *v1.ConfigFile, start time.Duration) ([]byte, error) {
	if start == 0 || cfg.Config.Healthcheck == nil {
		return json.Marshal(cfg)
	}
	type config struct {
		v1.Config
		Healthcheck healthcheck `json:"Healthcheck"`
	}
	return json.Marshal(struct {
		*v1.ConfigFile
		Config config `json:"config"`
	}{cfg, config{cfg.Config, healthcheck{*cfg.Config.Healthcheck, start}}})
}

// likeBuildKit leaves of a configuration what BuildKit knows of, and of the
// platform's variant what is not usual anyway.
func likeBuildKit(cfg *v1.ConfigFile) {
	c := cfg.Config
	cfg.Config = v1.Config{
		Cmd: c.Cmd, Healthcheck: c.Healthcheck, Entrypoint: c.Entrypoint, Env: c.Env, Labels: c.Labels, OnBuild: c.OnBuild,
		User: c.User, Volumes: c.Volumes, WorkingDir: c.WorkingDir, ExposedPorts: c.ExposedPorts, ArgsEscaped: c.ArgsEscaped,
		StopSignal: c.StopSignal, Shell: c.Shell,
	}
	switch cfg.Architecture + "/" + cfg.Variant {
	case "arm64/v8", "arm64/8", "amd64/v1":
		cfg.Variant = ""
	case "arm/":
		cfg.Variant = "v7"
	}
}
