package sandbox

import "golang.org/x/sys/unix"

// sync begins to write to disk what is to become a tree, and what trees below it
// have, while a verb reads it: a tree that a power cut left empty files in would be
// taken for whole. What is returned waits for the end.
func (t *tree) sync(keep string) (end func() error) {
	if keep == "" || t.upper == "" {
		return func() error { return nil }
	}
	done := make(chan error, 1)
	go func() { done <- syncFS(t.upper) }()
	return func() error { return <-done }
}

// syncFS writes to disk all that is not there yet of the file system that a
// directory is on.
func syncFS(dir string) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Syncfs(fd)
}
