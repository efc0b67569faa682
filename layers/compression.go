package layers

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ParseCompression reads NAME or NAME:LEVEL: gzip with a level from 1 to 9, zstd
// from 1 to 22, or uncompressed.
func ParseCompression(s string) (Compression, error) {
	name, level, leveled := strings.Cut(s, ":")
	top := map[string]int{Gzip: 9, Zstd: 22, Uncompressed: 0}
	if !slices.Contains([]string{Gzip, Zstd, Uncompressed}, name) {
		return Compression{}, fmt.Errorf("unknown compression %q: want gzip, zstd or uncompressed", name)
	}
	c := Compression{Name: name}
	if !leveled {
		return c, nil
	}
	var err error
	if c.Level, err = strconv.Atoi(level); err != nil || c.Level < 1 || c.Level > top[name] {
		if top[name] == 0 {
			return Compression{}, fmt.Errorf("%s has no levels", name)
		}
		return Compression{}, fmt.Errorf("level %q of %s: want one from 1 to %d", level, name, top[name])
	}
	return c, nil
}
