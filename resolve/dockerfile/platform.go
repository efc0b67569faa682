package dockerfile

import (
	"fmt"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

type platform = ocispec.Platform

// readPlatforms reads the target platform and that of the build.
func (l *lowering) readPlatforms() error {
	l.explicit = l.o.Platform != ""
	target := l.o.Platform
	if target == "" {
		target = "linux/amd64"
	}
	build := l.o.Build
	if build == "" {
		build = target
	}
	for _, p := range []struct {
		to   *platform
		text string
	}{{&l.target, target}, {&l.build, build}} {
		read, err := platforms.Parse(p.text)
		if err != nil {
			return fmt.Errorf("platform: %w", err)
		}
		*p.to = platforms.Normalize(read)
	}
	if l.target.OS == windows {
		return errWindows(target)
	}
	return nil
}

const windows = "windows"

func errWindows(what string) error {
	return fmt.Errorf("%s: images of Windows are not supported", what)
}

// format is a platform as plans have it.
func format(p platform) string { return platforms.FormatAll(platforms.Normalize(p)) }
