package oci

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	mode "github.com/tonistiigi/dchapes-mode"
)

// chmod is what --chmod says; the zero value changes nothing.
type chmod struct {
	octal    bool
	bits     fs.FileMode // with octal: permissions, setuid, setgid and sticky
	symbolic *mode.Set
}

// parseChmod reads an octal number up to 7777, or a symbolic mode as chmod(1)
// has it, with an umask of 0. Empty is no change.
func parseChmod(s string) (chmod, error) {
	if s == "" {
		return chmod{}, nil
	}
	outside := fmt.Errorf("invalid chmod parameter: '%v'. it should be octal string and between 0 and 07777", s)
	n, err := strconv.ParseUint(s, 8, 32)
	if err == nil {
		if n > 0o7777 {
			return chmod{}, outside
		}
		c := chmod{octal: true, bits: fs.FileMode(n & 0o777)}
		for flag, bit := range map[uint64]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
			if n&flag != 0 {
				c.bits |= bit
			}
		}
		return c, nil
	}
	set, err := mode.ParseWithUmask(s, 0)
	if number := (*strconv.NumError)(nil); errors.As(err, &number) {
		return chmod{}, outside
	}
	if err != nil {
		return chmod{}, fmt.Errorf("chmod %q: %w", s, err)
	}
	return chmod{symbolic: &set}, nil
}

// apply returns the mode that a file gets. That of a link is fixed.
func (c chmod) apply(m fs.FileMode) fs.FileMode {
	switch {
	case m&fs.ModeSymlink != 0:
		return fs.ModeSymlink | 0o777
	case c.octal:
		return m.Type() | c.bits
	case c.symbolic != nil:
		return c.symbolic.Apply(m)
	}
	return m
}

// parents are the permissions of directories that are made on the way.
func (c chmod) parents() fs.FileMode {
	if c.octal {
		return c.bits.Perm()
	}
	return 0o755
}
