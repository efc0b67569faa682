package main

import (
	"flag"
	"fmt"
	"net"
	"sync"
	"time"
)

// cutter passes bytes on and ends all its connections whenever so many have
// passed in one direction.
type cutter struct {
	to    string
	every int64
	times int
	down  bool // what the server sends is counted for cuts, not what it is sent
	rate  int  // bytes in a second that may pass; 0 is all

	mu         sync.Mutex
	up, downed int64 // all bytes that came from clients, and from the server
	next       int64 // when it is cut
	cuts       int
	conns      map[net.Conn]bool
}

func cut(args []string) (func(net.Listener) error, func() string) {
	c := &cutter{conns: map[net.Conn]bool{}}
	flags("cut", args, func(f *flag.FlagSet) {
		f.StringVar(&c.to, "to", "", "where what is passed on goes")
		f.Int64Var(&c.every, "every", 0, "after how many bytes connections are cut")
		f.IntVar(&c.times, "times", 0, "how often")
		f.IntVar(&c.rate, "rate", 0, "how many bytes pass in a second")
		f.BoolVar(&c.down, "down", false, "count what the server sends")
	})
	c.next = c.every
	return func(l net.Listener) error { return accept(l, c.connection) }, func() string {
		c.mu.Lock()
		defer c.mu.Unlock()
		return fmt.Sprintf("up %d down %d cuts %d", c.up, c.downed, c.cuts)
	}
}

// accept serves every connection of a listener.
func accept(l net.Listener, serve func(net.Conn)) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go serve(conn)
	}
}

func (c *cutter) connection(client net.Conn) {
	server, err := net.Dial("tcp", c.to)
	if err != nil {
		client.Close()
		return
	}
	for _, conn := range []net.Conn{client, server} { // what a cut takes with it is not to depend on the machine
		if t, ok := conn.(*net.TCPConn); ok {
			_ = t.SetWriteBuffer(128 << 10)
		}
	}
	c.mu.Lock()
	c.conns[client], c.conns[server] = true, true
	c.mu.Unlock()
	join(client, server, func(n int, down bool) {
		if c.rate > 0 {
			time.Sleep(time.Duration(n) * time.Second / time.Duration(c.rate))
		}
		c.passed(int64(n), down)
	})
	c.mu.Lock()
	delete(c.conns, client)
	delete(c.conns, server)
	c.mu.Unlock()
}

// passed counts bytes before they are passed on, and cuts.
func (c *cutter) passed(n int64, down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := &c.up
	if down {
		seen = &c.downed
	}
	*seen += n
	if down != c.down || c.cuts == c.times || *seen < c.next {
		return
	}
	c.cuts++
	c.next = *seen + c.every
	for conn := range c.conns {
		if t, ok := conn.(*net.TCPConn); ok {
			_ = t.SetLinger(0) // a reset, as by a network that is gone
		}
		conn.Close()
	}
}

// join passes bytes on in both directions until one of them ends.
func join(a, b net.Conn, passed func(n int, down bool)) {
	var wg sync.WaitGroup
	pass := func(to, from net.Conn, down bool) {
		defer wg.Done()
		buf := make([]byte, 64<<10)
		for {
			n, err := from.Read(buf)
			if n > 0 {
				passed(n, down)
				if _, err := to.Write(buf[:n]); err != nil {
					break
				}
			}
			if err != nil {
				break
			}
		}
		if t, ok := to.(interface{ CloseWrite() error }); ok {
			_ = t.CloseWrite() // the other direction may still be under way
		}
	}
	wg.Add(2)
	go pass(b, a, false)
	go pass(a, b, true)
	wg.Wait()
	a.Close()
	b.Close()
}
