package main

import (
	"fmt"
	"os"
	"strings"
)

// projectOf names whose build it is, for what is kept between builds: the
// directory that sources or context are in. A context that came as a tar, or a
// Dockerfile that has none, belongs to the directory that kanso is started in.
func projectOf(root, scratch string) (string, error) {
	if root != "" && !strings.HasPrefix(root, scratch+string(os.PathSeparator)) {
		return root, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("working directory: %w", err)
	}
	return "contexts from " + dir, nil
}
