//go:build !linux

package layers

import (
	"context"
	"errors"
	"io"
)

// ErrNotHere is what everything answers that needs Linux's file systems.
var ErrNotHere = errors.New("unpacked layers need linux")

// UnpackOptions say how a layer is unpacked.
type UnpackOptions struct {
	Owners Owners
	Below  []string
	Max    Limits
}

// Unpack needs Linux.
func Unpack(context.Context, io.Reader, string, UnpackOptions) (Listing, error) {
	return Listing{}, ErrNotHere
}

// UnpackApart needs Linux.
func UnpackApart(context.Context, io.Reader, string, UnpackOptions) (Listing, Apart, error) {
	return Listing{}, Apart{}, ErrNotHere
}

// Ground needs Linux.
func Ground(string, Apart, UnpackOptions) error { return ErrNotHere }
