package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestRegistryServesUntilItIsToldToEnd(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	out, in := io.Pipe()
	var log strings.Builder
	status := make(chan int)
	dir := filepath.Join(t.TempDir(), "new")
	go func() {
		a := newApp(environ{}, nil, in, &log)
		status <- a.execute(ctx, []string{"registry", dir})
	}()
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get("http://" + strings.TrimSpace(address) + "/v2/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("answers %s", resp.Status)
	}
	cancel(signalError{syscall.SIGTERM})
	if got := <-status; got != 0 {
		t.Errorf("exit status %d", got)
	}
	if !strings.Contains(log.String(), "GET /v2/ 200") {
		t.Errorf("log: %q", log.String())
	}
}
