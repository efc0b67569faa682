package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"regexp"
	"strconv"
	"strings"
)

// subordinateIDs are a range that the caller may map.
type subordinateIDs struct{ first, count int }

// readSubordinate finds the first range of a user in /etc/subuid or /etc/subgid.
func readSubordinate(file string) (subordinateIDs, error) {
	uid := strconv.Itoa(os.Geteuid())
	names := []string{uid}
	if u, err := user.LookupId(uid); err == nil {
		names = append(names, u.Username)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return subordinateIDs{}, err
	}
	for line := range strings.Lines(string(data)) {
		parts := strings.Split(strings.TrimSpace(line), ":")
		if len(parts) != 3 || parts[0] != names[0] && parts[0] != names[len(names)-1] {
			continue
		}
		first, err1 := strconv.Atoi(parts[1])
		count, err2 := strconv.Atoi(parts[2])
		if err1 == nil && err2 == nil && count > 0 {
			return subordinateIDs{first, count}, nil
		}
	}
	return subordinateIDs{}, fmt.Errorf("%s has no line for you", file)
}

// subordinate says why subordinate ids cannot be used; nil if they can.
func subordinate() error {
	for _, name := range []string{"newuidmap", "newgidmap"} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("there is no %s", name)
		}
	}
	_, err := readSubordinate("/etc/subuid")
	if err == nil {
		_, err = readSubordinate("/etc/subgid")
	}
	return err
}

// mapIDs maps the caller to root and the subordinate ids to those after it.
func mapIDs(ctx context.Context, pid int) error {
	for _, m := range []struct {
		tool, file string
		own        int
	}{{"newuidmap", "/etc/subuid", os.Geteuid()}, {"newgidmap", "/etc/subgid", os.Getegid()}} {
		ids, err := readSubordinate(m.file)
		if err != nil {
			return err
		}
		args := []string{strconv.Itoa(pid), "0", strconv.Itoa(m.own), "1", "1", strconv.Itoa(ids.first), strconv.Itoa(ids.count)}
		out, err := exec.CommandContext(ctx, m.tool, args...).CombinedOutput()
		if errors.Is(err, exec.ErrNotFound) {
			return fmt.Errorf("subordinate ids need the program %s (Debian's package uidmap)", m.tool)
		}
		if err != nil {
			return fmt.Errorf("%s: %s: %w", m.tool, strings.TrimSpace(string(out)), err)
		}
	}
	return nil
}

// needs is what commands print that found an id missing.
var needs = regexp.MustCompile(`(?i)(set(res|re|e|fs)?[ug]id|setgroups|initgroups|chown|ownership|change (the )?owner|(set|switch) (user|group)|switching to|to set [ug]id|to root [ug]id)` +
	`.*(operation not permitted|invalid argument)|"no new privileges" flag is set`)

// wantsIDs says whether output looks as if ids had been missing.
func wantsIDs(output string) bool { return needs.MatchString(output) }
