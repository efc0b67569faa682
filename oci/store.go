package oci

import (
	"context"
	"io"
	"io/fs"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/layers/sandbox"
)

// A Store keeps what builds make and may need again. Every method may be
// called by several builds at once, and what it gives back is whole or absent.
// *cache.Dir is one.
type Store interface {
	// Layers returns the layers that were made under a step's key, and what was
	// said about them. They are found only while all their blobs are there too.
	Layers(key string) (descs []v1.Descriptor, about []byte, ok bool, err error)
	// PutLayers remembers which layers a step's key made, bottom first, and JSON
	// about them.
	PutLayers(key string, descs []v1.Descriptor, about []byte) error
	// Blob returns the file that holds the bytes of a digest.
	Blob(digest v1.Hash) (file string, ok bool)
	// PutBlob keeps what write writes, whose digest write returns.
	PutBlob(ctx context.Context, write func(w io.Writer) (v1.Hash, error)) error
	// Value and PutValue keep small facts, such as what a layer holds.
	Value(kind, key string) ([]byte, bool, error)
	PutValue(kind, key string, data []byte) error
	// HasValue says whether a fact is there, which may turn out to be damaged.
	HasValue(kind, key string) bool
	// Tree returns the directory with the unpacked layer at the top of a chain
	// of layers, filling it if it is not there; release lets it be evicted.
	Tree(ctx context.Context, set string, chain v1.Hash, fill func(dir string) error) (dir string, release func(), err error)
	// HasTree says whether Tree would find the tree there.
	HasTree(set string, chain v1.Hash) bool
	// AdoptTree takes over a directory as such a tree.
	AdoptTree(ctx context.Context, set string, chain v1.Hash, dir string) error
	// Mount returns a directory that lasts, by any text as its key. Others use it
	// until release if they share it; of those that do not, some wait and some get
	// another one.
	Mount(ctx context.Context, key string, share, wait bool) (dir string, release func(), err error)
	// Scratch is a directory for what a step writes, on the store's file system.
	Scratch() string
	// FileHash remembers contents of files by what stat says of them.
	FileHash(file string, info fs.FileInfo) (v1.Hash, bool)
	PutFileHash(file string, info fs.FileInfo, h v1.Hash)
	// Flush writes the remembered hashes down.
	Flush() error
}

// A Runner runs one command in a root file system made of unpacked layers.
// *sandbox.Sandbox is one.
type Runner interface {
	// Run runs a command; if it succeeds, c.After reads what it changed.
	Run(ctx context.Context, c sandbox.Command) error
	// Call runs a verb where files of any owner can be read and written.
	Call(ctx context.Context, c sandbox.Call) error
	// Trees names the set of unpacked layers that this runner can use.
	Trees() string
	// Owners says how that set keeps owners: "xattr" or "real".
	Owners() string
	// CanKeep says whether what a command wrote can stay as a tree.
	CanKeep() bool
}

// Access is what the host lends to a package manager for the time of a step.
// Nothing of it reaches the image or a key.
type Access struct {
	// Env has NAME=value entries that come after the image's own. A value of
	// PIP_CACHE_DIR or UV_CACHE_DIR means that a cache is mounted there.
	Env []string
	// Mounts are files and directories: settings, certificates, caches.
	Mounts []sandbox.Mount
}
