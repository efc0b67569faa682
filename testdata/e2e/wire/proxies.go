package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync/atomic"
)

// whole is a proxy that reads requests whole before it passes them on, as nginx
// does unless it is told otherwise.
func whole(args []string) (func(net.Listener) error, func() string) {
	var to string
	flags("whole", args, func(f *flag.FlagSet) { f.StringVar(&to, "to", "", "HOST:PORT of the server") })
	next := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: to})
		r.Out.Host = r.In.Host
	}}
	var broken atomic.Int64
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, err := os.CreateTemp("", "wire-")
		if err != nil {
			fatal(err)
		}
		defer f.Close()
		os.Remove(f.Name())
		if n, err := io.Copy(f, r.Body); err != nil || r.ContentLength > 0 && n != r.ContentLength {
			broken.Add(1)
			panic(http.ErrAbortHandler)
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			fatal(err)
		}
		r.Body = f
		if r.ContentLength == 0 {
			r.Body = http.NoBody
		}
		next.ServeHTTP(w, r)
	})
	return func(l net.Listener) error { return http.Serve(l, h) }, func() string { return fmt.Sprintf("broken %d", broken.Load()) }
}

// front ends TLS for a server, and wants certificates of clients.
func front(args []string) (func(net.Listener) error, func() string) {
	var to, cert, key, clients string
	flags("front", args, func(f *flag.FlagSet) {
		f.StringVar(&to, "to", "", "HOST:PORT of the server")
		f.StringVar(&cert, "cert", "", "certificate")
		f.StringVar(&key, "key", "", "its key")
		f.StringVar(&clients, "clients", "", "authority of the clients' certificates")
	})
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		fatal(err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if clients != "" {
		pem, err := os.ReadFile(clients)
		if err != nil {
			fatal(err)
		}
		cfg.ClientCAs, cfg.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		cfg.ClientCAs.AppendCertsFromPEM(pem)
	}
	next := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: to})
		r.Out.Host = r.In.Host
		r.SetXForwarded()
	}}
	var seen atomic.Int64
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		next.ServeHTTP(w, r)
	})
	server := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	return func(l net.Listener) error { return server.Serve(tls.NewListener(l, cfg)) }, func() string { return fmt.Sprintf("requests %d", seen.Load()) }
}

// connect is a proxy for CONNECT and for plain HTTP. Names that end in .test are
// all at one address.
func connect(args []string) (func(net.Listener) error, func() string) {
	var test string
	flags("connect", args, func(f *flag.FlagSet) { f.StringVar(&test, "test", "", "HOST:PORT that names below .test stand for") })
	var connects, plain atomic.Int64
	dial := func(host string) (net.Conn, error) {
		if h, _, _ := net.SplitHostPort(host); len(h) > 5 && h[len(h)-5:] == ".test" {
			host = test
		}
		return net.Dial("tcp", host)
	}
	transport := &http.Transport{Dial: func(_, host string) (net.Conn, error) { return dial(host) }}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			plain.Add(1)
			(&httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) {}, Transport: transport}).ServeHTTP(w, r)
			return
		}
		connects.Add(1)
		server, err := dial(r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		client, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			fatal(err)
		}
		_, _ = io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n") // who is gone is seen below
		join(client, server, func(int, bool) {})
	})
	return func(l net.Listener) error { return http.Serve(l, h) }, func() string {
		return fmt.Sprintf("connects %d plain %d", connects.Load(), plain.Load())
	}
}
