package dockerfile

import (
	"io/fs"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"github.com/kanso-build/kanso/resolve/plan"
)

// permissions sets mode, uid and gid of a mount.
func permissions(to *plan.Mount, m *instructions.Mount, mode fs.FileMode) {
	to.Mode = mode
	if m.Mode != nil {
		to.Mode = fs.FileMode(*m.Mode) & fs.ModePerm
	}
	if m.UID != nil {
		to.UID = int(*m.UID)
	}
	if m.GID != nil {
		to.GID = int(*m.GID)
	}
}

// directory is a directory of a [plan.Write].
func directory(path string) plan.File {
	return plan.File{Path: cleaned(path), Mode: fs.ModeDir | 0o755}
}

// owner is an owner as BuildKit's file operations understand it, said so that
// nothing is left to guess: a number without a group has the group of the same
// number, and a name without a group ("name:") the one that the image's
// /etc/passwd says.
func owner(spec string) string {
	if spec == "" {
		return ""
	}
	user, group, _ := strings.Cut(spec, ":")
	uid, byID := number(user)
	if user == "" {
		byID = true
	}
	if byID {
		user = strconv.Itoa(uid)
	}
	if group == "" {
		if byID {
			return user + ":" + user
		}
		return user + ":"
	}
	if gid, ok := number(group); ok {
		group = strconv.Itoa(gid)
	}
	return user + ":" + group
}

// number is a user or group that needs no file to be known.
func number(s string) (int, bool) {
	if s == "root" {
		return 0, true
	}
	n, err := strconv.ParseInt(s, 10, 32)
	return int(n), err == nil
}
