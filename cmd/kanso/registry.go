package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/kanso-build/kanso/oci"
)

func (a *app) registryVerb() *cobra.Command {
	var listen string
	var insecure bool
	c := &cobra.Command{
		Use:   "registry DIR",
		Short: "Serve a small registry from a directory, for trying things",
		Long: `Serve a small registry from a directory, which is made if it is missing. The first line
on stdout is where it listens. It knows no users and no TLS: it listens on loopback only.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("kanso registry needs one directory")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return a.registry(c.Context(), args[0], listen, insecure) },
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "`HOST:PORT`, any free port if 0")
	c.Flags().BoolVar(&insecure, "insecure-listen", false, "listen elsewhere than on loopback, for everybody to read and write")
	return c
}

func (a *app) registry(ctx context.Context, dir, listen string, insecure bool) error {
	if err := onLoopback(listen); err != nil && !insecure {
		return err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if _, err := fmt.Fprintln(a.stdout, l.Addr()); err != nil {
		return errors.Join(err, l.Close())
	}
	err = oci.Serve(ctx, l, dir, a.stderr)
	if signalled(ctx) != 0 {
		return nil // being told to end is how it ends
	}
	return err
}

// onLoopback refuses addresses that other machines can reach.
func onLoopback(listen string) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return usagef("--listen %s: %w", listen, err)
	}
	if host == "localhost" {
		return nil
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsLoopback() {
		return nil
	}
	return usagef("--listen %s: other machines could write to this registry; --insecure-listen lets them", listen)
}
