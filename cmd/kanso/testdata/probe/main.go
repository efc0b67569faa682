// Command probe is the only program of the image that `kanso run` is tested
// with: it says what it was given and ends as it is told.
package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
)

func main() {
	switch arg := os.Args[1]; arg {
	case "exit":
		code, _ := strconv.Atoi(os.Args[2])
		os.Exit(code)
	case "env":
		for _, name := range os.Args[2:] {
			fmt.Printf("%s=%s\n", name, os.Getenv(name))
		}
	case "where":
		dir, err := os.Getwd()
		fmt.Println(dir, os.Getuid(), err)
	case "cat":
		f := os.Stdin
		if len(os.Args) > 2 {
			var err error
			if f, err = os.Open(os.Args[2]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
		_, _ = io.Copy(os.Stdout, f)
	case "write":
		if err := os.WriteFile(os.Args[2], []byte(os.Args[3]), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	default:
		fmt.Println(os.Args)
	}
}
