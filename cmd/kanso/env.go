package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// environ is the environment of the host.
type environ map[string]string

// hostEnv reads the environment; nothing else in the program does.
func hostEnv() environ {
	env := environ{}
	for _, e := range os.Environ() {
		if name, value, ok := strings.Cut(e, "="); ok && name != "" {
			env[name] = value
		}
	}
	return env
}

// home is the user's home directory, empty if there is none.
func (e environ) home() string {
	if h := e["HOME"]; filepath.IsAbs(h) {
		return h
	}
	return e["USERPROFILE"]
}

// xdg returns the directory that an XDG variable names, or the one below the
// home directory; empty without either.
func (e environ) xdg(name, below string) string {
	if d := e[name]; filepath.IsAbs(d) {
		return d
	}
	if e.home() == "" {
		return ""
	}
	return filepath.Join(e.home(), below)
}

// cacheDir is where things are kept between builds; flag is what the command
// line says.
func (e environ) cacheDir(flag string) (string, error) {
	for _, dir := range []string{flag, e["KANSO_CACHE_DIR"]} {
		if dir != "" {
			return filepath.Abs(dir)
		}
	}
	dir := e.xdg("XDG_CACHE_HOME", ".cache")
	if dir == "" {
		return "", errors.New("no place for the cache: HOME is not set; name one with --cache-dir")
	}
	return filepath.Join(dir, "kanso"), nil
}

// sourceDate is what SOURCE_DATE_EPOCH says, zero if it says nothing.
func (e environ) sourceDate() (time.Time, error) {
	text := e["SOURCE_DATE_EPOCH"]
	if text == "" {
		return time.Time{}, nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, usagef("SOURCE_DATE_EPOCH is %q: want seconds since 1970", text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// private makes a directory for files that nobody else may read, and the
// function that removes it.
func (e environ) private() (dir string, remove func(), err error) {
	if dir, err = os.MkdirTemp("", "kanso-"); err != nil {
		return "", nil, fmt.Errorf("make private directory: %w", err)
	}
	return dir, func() { _ = os.RemoveAll(dir) }, nil
}
