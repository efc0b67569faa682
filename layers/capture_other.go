//go:build !linux

package layers

import (
	"context"
	"io"
)

// Capture needs Linux.
func Capture(context.Context, io.Writer, Changes, CaptureOptions) error { return ErrNotHere }

// CaptureParts needs Linux.
func CaptureParts(context.Context, io.Writer, Changes, CaptureOptions, func([]File, func(string) bool) ([]Part, error)) error {
	return ErrNotHere
}

// CaptureJoined needs Linux.
func CaptureJoined(context.Context, io.Writer, Changes, CaptureOptions, Earlier, func(Joint) ([]File, []Part, error)) error {
	return ErrNotHere
}

// Snapshot needs Linux.
func Snapshot(context.Context, string, string) error { return ErrNotHere }

// Merge needs Linux.
func Merge(context.Context, []string, string, Owners) error { return ErrNotHere }
