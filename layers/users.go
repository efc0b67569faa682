package layers

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// UserInfo is whom a process runs as.
type UserInfo struct {
	Name     string // empty if the user database has none
	UID, GID int
	Groups   []int  // further ones, sorted
	Home     string // "/" if it is not known
}

// maxID is the largest id that a Linux system takes.
const maxID = 1<<32 - 2

// Owner looks up "user", "uid", "user:group" or "uid:gid" in the image's
// etc/passwd and etc/group, as COPY --chown does: without a group the group is
// 0. An unknown name is an error.
func (v *View) Owner(spec string) (uid, gid int, err error) {
	user, group, _ := strings.Cut(spec, ":")
	if u, ok := number(user); ok {
		uid = u
	} else if user != "" {
		row, err := v.row("etc/passwd", user)
		if err != nil {
			return 0, 0, fmt.Errorf("user %q: %w", user, err)
		}
		uid = field(row, 2)
	}
	if group != "" {
		if gid, err = v.group(group); err != nil {
			return 0, 0, err
		}
	}
	return uid, gid, nil
}

// ErrNoUser is wrapped by the error of [View.NewOwner] for a name that is not
// known.
var ErrNoUser = errors.New("no such name")

// NewOwner looks up "user", "uid", "user:group", "uid:gid" or "user:" as BuildKit
// does for the owner of a new file: with nothing after the colon the group is
// that of the user, the same number if there is no name. For a name that is not
// known the number is 0; the error wraps [ErrNoUser] then and the other number is
// right.
func (v *View) NewOwner(spec string) (uid, gid int, err error) {
	user, group, given := strings.Cut(spec, ":")
	switch n, ok := id(user); {
	case ok:
		uid, gid = n, n
	case user != "":
		row, e := v.row("etc/passwd", user)
		if e != nil {
			err = fmt.Errorf("%w: user %s: %w", ErrNoUser, user, e)
			break
		}
		uid, gid = field(row, 2), max(0, field(row, 3))
	}
	if !given {
		gid = 0
	}
	if group == "" {
		return uid, gid, err
	}
	if n, ok := id(group); ok {
		return uid, n, err
	}
	row, e := v.row("etc/group", group)
	if e != nil {
		return uid, gid, errors.Join(err, fmt.Errorf("%w: group %s: %w", ErrNoUser, group, e))
	}
	return uid, field(row, 2), err
}

// id is a number, or root's.
func id(s string) (int, bool) {
	if s == "root" {
		return 0, true
	}
	return number(s)
}

// User looks up whom a process runs as, in the syntax of USER: without a group
// it has its main group and the others that etc/group names it in; a number
// that the image does not know has group 0. Empty is root.
func (v *View) User(spec string) (UserInfo, error) {
	if spec == "" {
		spec = "0"
	}
	name, group, given := strings.Cut(spec, ":")
	who := UserInfo{Home: "/"}
	uid, isNumber := number(name)
	var row []string
	var err error
	if isNumber {
		who.UID = uid
		row = v.rowBy("etc/passwd", func(r []string) bool { return field(r, 2) == uid })
	} else if row, err = v.row("etc/passwd", name); err != nil {
		return UserInfo{}, fmt.Errorf("user %q: %w", name, err)
	}
	if len(row) > 5 {
		who.Name, who.UID, who.GID = row[0], field(row, 2), field(row, 3)
		// Of several names with one number the first one's, as runc has it.
		row = v.rowBy("etc/passwd", func(r []string) bool { return field(r, 2) == who.UID })
	}
	if len(row) > 5 && row[5] != "" {
		who.Home = row[5]
	}
	if given && group != "" {
		who.GID, err = v.group(group)
		return who, err
	}
	who.Groups = v.groupsOf(who.Name, who.GID)
	return who, nil
}

func (v *View) group(name string) (int, error) {
	if gid, ok := number(name); ok {
		return gid, nil
	}
	row, err := v.row("etc/group", name)
	if err != nil {
		return 0, fmt.Errorf("group %q: %w", name, err)
	}
	return field(row, 2), nil
}

// groupsOf are the groups that name is a member of beside its main one.
func (v *View) groupsOf(name string, main int) []int {
	var ids []int
	if name == "" {
		return nil
	}
	v.rowBy("etc/group", func(r []string) bool {
		if len(r) > 3 && slices.Contains(strings.Split(r[3], ","), name) && field(r, 2) != main {
			ids = append(ids, field(r, 2))
		}
		return false
	})
	slices.Sort(ids)
	return slices.Compact(ids)
}

// row returns the line of a database whose first field is name.
func (v *View) row(file, name string) ([]string, error) {
	if _, ok := v.ReadFile(file); !ok {
		return nil, fmt.Errorf("the image has no /%s", file)
	}
	row := v.rowBy(file, func(r []string) bool { return r[0] == name && len(r) > 2 })
	if row == nil {
		return nil, fmt.Errorf("not in the image's /%s", file)
	}
	if _, ok := number(row[2]); !ok {
		return nil, fmt.Errorf("the image's /%s has %q for a number", file, row[2])
	}
	return row, nil
}

// rowBy returns the first line of a database that fits.
func (v *View) rowBy(file string, fits func(row []string) bool) []string {
	data, _ := v.ReadFile(file)
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, keptLimit+1)
	for lines.Scan() {
		row := strings.Split(strings.TrimSpace(lines.Text()), ":")
		if row[0] != "" && row[0][0] != '#' && fits(row) {
			return row
		}
	}
	return nil
}

func number(s string) (int, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return int(n), err == nil && n >= 0 && n <= maxID
}

// field is a number of a line; -1 if it is none.
func field(row []string, i int) int {
	if i < len(row) {
		if n, ok := number(row[i]); ok {
			return n
		}
	}
	return -1
}
