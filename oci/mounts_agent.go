package oci

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/resolve/plan"
)

// agent shows a socket that reaches an ssh agent and nothing else; nil if nobody
// gave one. It is a socket of the command's own, so that it has the owner and
// mode that the plan says.
func (m *mounter) agent(ctx context.Context, p plan.Mount) (*sandbox.Mount, error) {
	id := cmp.Or(p.ID, "default")
	agent, ok := m.b.Agents[id]
	if !ok && p.Required {
		return nil, fmt.Errorf("ssh agent %q is required and was not given", id)
	}
	if !ok {
		return nil, nil //nolint:nilnil // it is left out
	}
	dir, err := os.MkdirTemp(m.b.Store.Scratch(), "agent-")
	if err != nil {
		return nil, fmt.Errorf("make socket: %w", err)
	}
	m.releases = append(m.releases, func() { m.remove(context.WithoutCancel(ctx), dir) })
	l, err := listen(dir, "agent")
	if err != nil {
		return nil, err
	}
	relay := &relay{listener: l, agent: agent}
	go relay.serve(ctx)
	m.releases = append(m.releases, relay.close)
	return &sandbox.Mount{
		Kind: sandbox.MountCopy, Source: filepath.Join(dir, "agent"), Mode: uint32(cmp.Or(p.Mode, agentMode)), UID: p.UID, GID: p.GID,
	}, nil
}

// listen makes a socket in a directory whose name may be longer than
// the name of a socket can be.
func listen(dir, name string) (net.Listener, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("make socket: %w", err)
	}
	defer d.Close()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: "/proc/self/fd/" + strconv.Itoa(int(d.Fd())) + "/" + name})
	if err != nil {
		return nil, fmt.Errorf("make socket: %w", err)
	}
	l.SetUnlinkOnClose(false) // by that name it cannot; it goes with the directory
	return l, nil
}

// A relay passes on what is said to a socket.
type relay struct {
	listener net.Listener
	agent    string
	mu       sync.Mutex
	closed   bool
	open     map[net.Conn]bool
}

func (r *relay) serve(ctx context.Context) {
	for {
		c, err := r.listener.Accept()
		if err != nil {
			return // it is closed
		}
		go r.pass(ctx, c)
	}
}

// pass connects one client with the agent until one of them ends.
func (r *relay) pass(ctx context.Context, c net.Conn) {
	defer r.drop(c)
	if !r.keep(c) {
		return
	}
	var d net.Dialer
	a, err := d.DialContext(ctx, "unix", r.agent)
	if err != nil {
		return
	}
	defer r.drop(a)
	if !r.keep(a) {
		return
	}
	go func() {
		_, _ = io.Copy(a, c)
		if u, ok := a.(*net.UnixConn); ok {
			_ = u.CloseWrite() // the agent may still answer
		}
	}()
	_, _ = io.Copy(c, a)
}

// keep notes a connection, which close ends.
func (r *relay) keep(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		r.open = map[net.Conn]bool{}
	}
	r.open[c] = true
	return !r.closed
}

func (r *relay) drop(c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, c)
	c.Close()
}

// close ends the relay and all connections.
func (r *relay) close() {
	r.listener.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for c := range r.open {
		c.Close()
	}
}
