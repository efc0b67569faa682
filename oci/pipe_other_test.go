//go:build !unix

package oci_test

import "errors"

func mkfifo(string) error { return errors.ErrUnsupported }
