package oci

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/resolve/plan"
)

// gitSource shows a repository that is checked out for the step. The files are
// root's and have git's two modes.
func (b *Builder) gitSource(ctx context.Context, st *state, from plan.Source) (*source, error) {
	if b.Git == nil {
		return nil, errors.New("there is no git that could get " + from.Git)
	}
	if st.dry {
		return nil, errUnknown
	}
	dir, err := os.MkdirTemp(b.Store.Scratch(), "git-")
	if err != nil {
		return nil, fmt.Errorf("make checkout: %w", err)
	}
	src, err := b.checkOut(ctx, from, dir)
	if err != nil {
		return nil, errors.Join(err, layers.RemoveAll(dir))
	}
	src.single = []string{"/"}
	closeFiles := src.close
	src.close = func() {
		closeFiles()
		_ = layers.RemoveAll(dir) // what stays goes when the cache is next opened
	}
	return src, nil
}

func (b *Builder) checkOut(ctx context.Context, from plan.Source, dir string) (*source, error) {
	commit, err := b.Git(ctx, from.Git, dir, from.KeepGit)
	if err != nil {
		return nil, fmt.Errorf("git: %w", err)
	}
	if from.Checksum != "" && !strings.HasPrefix(commit, strings.ToLower(from.Checksum)) {
		return nil, fmt.Errorf("git: the commit is %s, not %s", commit, from.Checksum)
	}
	files, err := walkDir(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("git: %w", err)
	}
	return b.contextSource(ctx, dir, files, plan.Copy{Modes: plan.ModesGit})
}

// walkDir lists what is in a directory.
func walkDir(ctx context.Context, dir string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		rel, err := filepath.Rel(dir, p)
		if err == nil && rel != "." {
			files = append(files, filepath.ToSlash(rel))
		}
		return err
	})
	return files, err
}
