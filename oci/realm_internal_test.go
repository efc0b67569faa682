package oci

import "testing"

func TestRealmsOfOneDomainAreRelated(t *testing.T) {
	for pair, want := range map[[2]string]bool{
		{"index.docker.io", "auth.docker.io"}:           true,
		{"registry.gitlab.com", "gitlab.com"}:           true,
		{"registry.corp.co.uk:5000", "auth.corp.co.uk"}: true,
		{"registry.corp.co.uk", "other.co.uk"}:          false,
		{"GHCR.io", "ghcr.io:443"}:                      true,
		{"ghcr.io", "ghcr.io.example"}:                  false,
		{"127.0.0.1:5000", "localhost:6000"}:            true,
		{"registry.example", "127.0.0.1"}:               false,
		{"10.0.0.1:5000", "10.0.0.1:6000"}:              true,
		{"10.0.0.1", "10.0.0.2"}:                        false,
		{"registry", "auth"}:                            false,
		{"[::1]:5000", "127.0.0.1"}:                     true,
	} {
		if got := related(pair[0], pair[1]); got != want {
			t.Errorf("%v: %v", pair, got)
		}
	}
}
