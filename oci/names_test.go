package oci_test

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// names is a resolver that knows what it is given, by a server of its own
// (RFC 1035).
func names(t *testing.T, known map[string]string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(answered(buf[:n], known), from) // who asked is gone if this fails
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// answered is the answer to one question.
func answered(question []byte, known map[string]string) []byte {
	at, labels := 12, []string{}
	for question[at] != 0 {
		n := int(question[at])
		labels = append(labels, string(question[at+1:at+1+n]))
		at += 1 + n
	}
	end := at + 5
	kind := binary.BigEndian.Uint16(question[at+1:])
	out := append([]byte{}, question[:end]...)
	out[2], out[3] = 0x84, 0
	copy(out[6:], make([]byte, 6))
	a, err := netip.ParseAddr(known[strings.ToLower(strings.Join(labels, "."))])
	switch {
	case err != nil:
		out[3] = 3 // no such name
		return out
	case kind == 1 && !a.Is4(), kind == 28 && !a.Is6(), kind != 1 && kind != 28:
		return out
	}
	out[7] = 1
	out = append(out, 0xc0, 12, 0, byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(len(a.AsSlice())))
	return append(out, a.AsSlice()...)
}
