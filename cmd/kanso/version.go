package main

import (
	"fmt"
	"os"
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

// programVersion tells this program apart from others, also from those of the same
// version; it is empty if that cannot be known.
func programVersion() string {
	file, err := os.Executable()
	if err != nil {
		return ""
	}
	info, err := os.Stat(file)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s %d %s", version, info.Size(), info.ModTime().UTC())
}
