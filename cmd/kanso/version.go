package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// version is set when the program is linked.
var version = "unknown"

func (a *app) versionVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  atMost(0, ""),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(a.stdout, "kanso %s %s/%s\n", version, runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
