package oci

import (
	"context"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A Base is an image that others are built on.
type Base struct {
	// Image reads its layers when they are asked for.
	Image v1.Image
	// Ref is the reference as it was given.
	Ref string
	// Name is the full name, with the registry; empty if it came from a file.
	Name string
	// Digest is that of the manifest, not of an index that led to it.
	Digest v1.Hash
	// Platform is what the image is for.
	Platform v1.Platform
}

// A PlatformError says that a base is for other platforms than the wanted one.
type PlatformError struct {
	Ref  string
	Want string   // empty if none was named and there are several
	Have []string // as os/arch[/variant]
}

func (e *PlatformError) Error() string {
	have := strings.Join(e.Have, ", ")
	if e.Want == "" {
		return fmt.Sprintf("base %s: it is for several platforms, none of them linux/amd64: %s", e.Ref, have)
	}
	return fmt.Sprintf("base %s: it is for %s, not for %s", e.Ref, have, e.Want)
}

// Scratch is the reference of the image without layers.
const Scratch = "scratch"

// Base finds an image by a reference to a registry, by "oci:DIR[:TAG]",
// "oci-archive:FILE[:TAG]" or "docker-archive:FILE[:NAME]", or [Scratch].
// platform is os/arch[/variant]; if it is empty the image's own is taken,
// linux/amd64 of several. No layer is read, except those of an archive of
// Docker's that are not compressed: what they are compressed to is needed for
// the manifest. Errors begin with "base REF"; one for something that is not
// there wraps [ErrNotFound], one for the wrong platform is a [*PlatformError].
func (c *Client) Base(ctx context.Context, ref, platform string) (Base, error) {
	want, err := parsePlatform(platform)
	if err != nil {
		return Base{}, fmt.Errorf("platform %q: %w", platform, err)
	}
	b, err := c.base(ctx, ref, want)
	if err != nil {
		if _, ok := err.(*PlatformError); ok { //nolint:errorlint // one that says it all, as it is
			return Base{}, err
		}
		return Base{}, fmt.Errorf("base %s: %w", ref, err)
	}
	b.Ref = ref
	if b, err = c.checked(b, want); err != nil {
		return Base{}, err
	}
	return b, c.checkPin(b)
}

func (c *Client) base(ctx context.Context, ref string, want *v1.Platform) (Base, error) {
	kind, place, ok := strings.Cut(ref, ":")
	switch {
	case ref == Scratch:
		return scratch(want)
	case ok && kind == kindLayout:
		return c.layoutBase(ref, place, want)
	case ok && kind == kindOCIArchive:
		return c.archiveBase(ref, place, want)
	case ok && kind == kindDockerArchive:
		return c.dockerBase(ctx, ref, place)
	}
	return c.registryBase(ctx, ref, want)
}

// checked completes a base from its configuration.
func (c *Client) checked(b Base, want *v1.Platform) (Base, error) {
	cfg, err := b.Image.ConfigFile()
	if err != nil {
		return Base{}, fmt.Errorf("base %s: read configuration: %w", b.Ref, err)
	}
	if cfg.OS == "" {
		cfg.OS = "linux"
	}
	b.Platform = v1.Platform{OS: cfg.OS, Architecture: cfg.Architecture, Variant: cfg.Variant}
	if want != nil && !fits(b.Platform, *want) {
		return Base{}, &PlatformError{Ref: b.Ref, Want: want.String(), Have: []string{b.Platform.String()}}
	}
	if b.Ref == Scratch {
		return b, nil
	}
	if b.Digest, err = b.Image.Digest(); err != nil {
		return Base{}, fmt.Errorf("base %s: %w", b.Ref, err)
	}
	return b, nil
}

func scratch(want *v1.Platform) (Base, error) {
	if want == nil {
		want = &v1.Platform{OS: "linux", Architecture: "amd64"}
	}
	img, err := mutate.ConfigFile(mutate.MediaType(empty.Image, types.OCIManifestSchema1), &v1.ConfigFile{
		OS: want.OS, Architecture: want.Architecture, Variant: want.Variant, RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{}},
		Config: v1.Config{WorkingDir: "/", Env: scratchEnv(want.OS)},
	})
	return Base{Image: img}, err
}

// scratchEnv is the environment that a build from nothing begins with.
func scratchEnv(os string) []string {
	if os == "windows" {
		return nil
	}
	return []string{"PATH=" + defaultPath}
}

func parsePlatform(s string) (*v1.Platform, error) {
	if s == "" {
		return nil, nil //nolint:nilnil // none is wanted
	}
	p, err := v1.ParsePlatform(s)
	if err != nil {
		return nil, err
	}
	if p.OS == "" || p.Architecture == "" {
		return nil, fmt.Errorf("it is not of the form OS/ARCH[/VARIANT]")
	}
	return p, nil
}

// fits says whether what is there is what is wanted; a variant that is not
// named on either side fits.
func fits(have, want v1.Platform) bool {
	return have.OS == want.OS && have.Architecture == want.Architecture &&
		(want.Variant == "" || have.Variant == "" || have.Variant == want.Variant)
}

// choose picks the manifest of an index.
func choose(ref string, index *v1.IndexManifest, want *v1.Platform) (v1.Descriptor, error) {
	var images []v1.Descriptor
	var have []string
	for _, d := range index.Manifests {
		if !d.MediaType.IsImage() && !d.MediaType.IsIndex() || d.Platform != nil && d.Platform.OS == "unknown" {
			continue // attestations
		}
		images = append(images, d)
		if d.Platform != nil {
			have = append(have, d.Platform.String())
		}
	}
	if want == nil && len(images) == 1 {
		return images[0], nil
	}
	look := v1.Platform{OS: "linux", Architecture: "amd64"}
	if want != nil {
		look = *want
	}
	for _, d := range images {
		if d.Platform == nil && len(images) == 1 || d.Platform != nil && fits(*d.Platform, look) {
			return d, nil
		}
	}
	if len(images) == 0 {
		return v1.Descriptor{}, fmt.Errorf("its index has no image: %w", ErrNotFound)
	}
	e := &PlatformError{Ref: ref, Have: have}
	if want != nil {
		e.Want = want.String()
	}
	return v1.Descriptor{}, e
}
