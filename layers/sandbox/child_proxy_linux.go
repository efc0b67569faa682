package sandbox

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// isolated says whether the command has a network namespace of its own.
func (r *runJob) isolated() bool { return r.Network == NetworkNone || r.Network == NetworkProxy }

// forward leads connections to [ProxyAddress] to the socket in a directory of the
// machine: files, unlike addresses, are the same in all network namespaces. It
// ends with this process.
func forward(dir string) error {
	d, err := os.Open(dir) // its name may be longer than that of a socket
	if err != nil {
		return fmt.Errorf("reach proxy: %w", err)
	}
	l, err := net.Listen("tcp", ProxyAddress) //nolint:noctx // it ends with this process
	if err != nil {
		return fmt.Errorf("reach proxy: %w", err)
	}
	socket := filepath.Join("/proc/self/fd", strconv.Itoa(int(d.Fd())), ProxySocket)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go join(c, socket)
		}
	}()
	return nil
}

// join connects both sides until they end.
func join(c net.Conn, socket string) {
	defer c.Close()
	far, err := net.Dial("unix", socket) //nolint:noctx // it ends with this process
	if err != nil {
		return
	}
	defer far.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		pass(far, c)
	}()
	pass(c, far)
	<-done
}

// pass copies what comes from one side, and says when that ended.
func pass(to io.Writer, from io.Reader) {
	_, _ = io.Copy(to, from) // who is cut off sees it
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}
