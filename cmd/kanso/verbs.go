package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/oci"
)

// verbs are what the sandbox's own process can be asked to do with trees.
func verbs() map[string]sandbox.Verb {
	return map[string]sandbox.Verb{
		"unpack": unpack, "ground": ground, "capture": capture, "merge": merge, "snapshot": snapshot, "remove": remove,
	}
}

// unpack turns the layer that comes in into a tree. What it holds goes out.
func unpack(ctx context.Context, e sandbox.Env) error {
	var args oci.UnpackArgs
	if err := json.Unmarshal(e.Args, &args); err != nil {
		return fmt.Errorf("read arguments: %w", err)
	}
	z, err := layers.Decompress(e.In)
	if err != nil {
		return err
	}
	defer z.Close()
	sum := sha256.New()
	tar := io.TeeReader(z, sum)
	var out oci.Unpacked
	var list layers.Listing
	o := layers.UnpackOptions{Owners: args.Owners, Below: args.Below}
	if args.Apart {
		list, out.Apart, err = layers.UnpackApart(ctx, tar, args.Dir, o)
		out.Again = errors.Is(err, layers.ErrBelow)
	} else {
		list, err = layers.Unpack(ctx, tar, args.Dir, o)
	}
	if err != nil && !out.Again {
		return err
	}
	if _, err := io.Copy(io.Discard, tar); err != nil { // what follows the tar is part of its digest
		return fmt.Errorf("read layer: %w", err)
	}
	if got := "sha256:" + hex.EncodeToString(sum.Sum(nil)); got != args.DiffID {
		return fmt.Errorf("layer is %s, not %s as the image says", got, args.DiffID)
	}
	if out.List, err = json.Marshal(list); err != nil {
		return fmt.Errorf("encode listing: %w", err)
	}
	_, err = out.WriteTo(e.Out)
	return err
}

// ground puts a tree that was unpacked apart on those below it.
func ground(_ context.Context, e sandbox.Env) error {
	var args oci.GroundArgs
	if err := json.Unmarshal(e.Args, &args); err != nil {
		return fmt.Errorf("read arguments: %w", err)
	}
	err := layers.Ground(args.Dir, args.Apart, layers.UnpackOptions{Owners: args.Owners, Below: args.Below})
	out := oci.Grounded{Again: errors.Is(err, layers.ErrBelow)}
	if err != nil && !out.Again {
		return err
	}
	return json.NewEncoder(e.Out).Encode(out)
}

// capture sends out what a command changed as a layer, or as several.
func capture(ctx context.Context, e sandbox.Env) error {
	if e.Changes == nil {
		return errors.New("no command ran")
	}
	var args oci.CaptureArgs
	if err := json.Unmarshal(e.Args, &args); err != nil {
		return fmt.Errorf("read arguments: %w", err)
	}
	c := layers.Changes{
		Upper: e.Changes.Upper, Root: e.Changes.Root, Before: e.Changes.Before, Lowers: e.Changes.Lowers, Tables: e.Changes.Tables,
		ChownTable: e.Changes.ChownTable, Skip: e.Changes.Skip,
	}
	return args.Capture(ctx, e.Out, c)
}

func merge(ctx context.Context, e sandbox.Env) error {
	var args sandbox.MergeArgs
	if err := json.Unmarshal(e.Args, &args); err != nil {
		return fmt.Errorf("read arguments: %w", err)
	}
	roots := make([]string, len(args.Lowers))
	for i, tree := range args.Lowers {
		roots[i] = layers.TreeFiles(tree)
	}
	return layers.Merge(ctx, roots, args.Dst, layers.Owners(args.Owners))
}

func snapshot(ctx context.Context, e sandbox.Env) error {
	var args sandbox.SnapshotArgs
	if err := json.Unmarshal(e.Args, &args); err != nil {
		return fmt.Errorf("read arguments: %w", err)
	}
	return layers.Snapshot(ctx, args.Root, args.File)
}

// remove deletes trees, whose files belong to ids of the sandbox.
func remove(ctx context.Context, e sandbox.Env) error {
	var args oci.RemoveArgs
	if err := json.Unmarshal(e.Args, &args); err != nil {
		return fmt.Errorf("read arguments: %w", err)
	}
	for _, p := range args.Paths {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := layers.RemoveAll(p); err != nil {
			return err
		}
	}
	return nil
}
