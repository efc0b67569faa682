// Command wire is what stands between kanso and a registry in the end-to-end
// scripts: connections that are cut, proxies, TLS with certificates, tokens. Each
// listens at a free port of loopback, says so in its first line, and ends by
// SIGTERM with a line of what it saw.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	kinds := map[string]func(args []string) (serve func(net.Listener) error, summary func() string){
		"cut": cut, "whole": whole, "front": front, "connect": connect, "tokens": tokens,
	}
	if len(os.Args) < 2 || kinds[os.Args[1]] == nil && os.Args[1] != "certs" {
		fatal("usage: wire cut|whole|front|connect|tokens|certs ...")
	}
	if os.Args[1] == "certs" {
		if err := certs(os.Args[2]); err != nil {
			fatal(err)
		}
		return
	}
	serve, summary := kinds[os.Args[1]](os.Args[2:])
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fatal(err)
	}
	fmt.Println(l.Addr())
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	go func() { fatal(serve(l)) }()
	<-end
	fmt.Println(summary())
}

func flags(name string, args []string, set func(*flag.FlagSet)) {
	f := flag.NewFlagSet(name, flag.ExitOnError)
	set(f)
	_ = f.Parse(args) // it exits
}

func fatal(what any) {
	fmt.Fprintln(os.Stderr, "wire:", what)
	os.Exit(1)
}
