package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"syscall"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/cache"
	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/oci"
)

// hint is what the user can do about an error, empty if that is plain.
func hint(err error) string {
	var own interface{ Hint() string }
	if errors.As(err, &own) && own.Hint() != "" {
		return own.Hint()
	}
	if h := registryHint(err); h != "" {
		return h
	}
	var exit *sandbox.ExitError
	switch {
	case errors.Is(err, oci.ErrNeedsOCI):
		return "--format oci gives the image OCI's media types, --compression gzip compresses for everybody"
	case errors.Is(err, syscall.ENOSPC), strings.Contains(err.Error(), syscall.ENOSPC.Error()): // the sandbox tells errors as text
		return "make room there, or name another place: --cache-dir and TMPDIR say where kanso keeps things"
	case errors.Is(err, cache.ErrForeign), errors.Is(err, syscall.EROFS):
		return "--cache-dir names another place for what kanso keeps, or set KANSO_CACHE_DIR"
	case errors.Is(err, oci.ErrChanged), errors.Is(err, layers.ErrSize):
		return "something writes to it: build again when that is done, or keep it out by .dockerignore"
	case errors.Is(err, syscall.EDQUOT):
		return "your quota there is used up: --cache-dir names another place"
	case errors.Is(err, sandbox.ErrUnsupported), errors.Is(err, oci.ErrNoRunner):
		return "steps are run on Linux only; builds without requirements and apt packages work here"
	case errors.Is(err, sandbox.ErrNeedsIDs):
		return giveIDs
	case errors.Is(err, sandbox.ErrUnavailable):
		return "kanso doctor says what would allow it"
	case errors.As(err, &exit):
		return exitHint(exit)
	case errors.Is(err, fs.ErrPermission):
		return "kanso runs as you: the file has to be readable, or the directory writable, for you"
	}
	return ""
}

// exitHint is what to do about a step that failed.
func exitHint(e *sandbox.ExitError) string {
	if e.Code == exitNoCommand {
		return fmt.Sprintf("the base has no command %q", e.Args[0])
	}
	if e.IDs {
		return "the step had one user id, and su, sudo, gosu and the like need more: " + giveIDs
	}
	return "the lines above are what the step printed; kanso plan shows all steps"
}

// giveIDs is how a user gets more than one id.
const giveIDs = "give your user subordinate ids (usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER, package uidmap), or build as root"

// registryHint is what to do about a registry's answer.
func registryHint(err error) string {
	var platform *oci.PlatformError
	var unreachable *net.OpError
	var authority x509.UnknownAuthorityError
	var plain *oci.PlainError
	var refused *oci.RefusedError
	var realm *oci.RealmError
	var address *oci.AddressError
	switch {
	case errors.As(err, &refused):
		return refusedHint(refused)
	case errors.As(err, &realm):
		return "if " + realm.Realm + " may give tokens for it: --token-host " + realm.Realm
	case errors.As(err, &address):
		return "if it may lead to " + address.Host + ": --token-host " + address.Host
	case errors.As(err, &plain):
		return "--insecure " + plain.Host + " allows it"
	case errors.As(err, &platform):
		return "leave --platform out or name one that it has; --base names another base"
	case errors.As(err, &authority):
		return "--ca-cert FILE names an authority of your own, in PEM"
	case errors.As(err, &unreachable) && unreachable.Op == "proxyconnect":
		return "the proxy that HTTPS_PROXY or HTTP_PROXY names cannot be reached; NO_PROXY names hosts that need none"
	case errors.As(err, &unreachable) && unreachable.Op == "remote error": // an alert of TLS
		return "--client-cert FILE shows the registry a certificate, with its key, that it trusts"
	case errors.As(err, &unreachable):
		return "the registry cannot be reached from here: --mirror names another place for its images, --base oci:DIR or docker-archive:FILE a base on disk"
	case errors.Is(err, oci.ErrNotFound):
		return "check name and tag; --base names another base, --mirror another place to look for it"
	}
	return ""
}

// refusedHint is what to do about a push that is refused.
func refusedHint(e *oci.RefusedError) string {
	host, repository, _ := strings.Cut(e.Repository, "/")
	switch {
	case e.NoRepository() && strings.Contains(host, ".ecr."):
		return "aws ecr create-repository --repository-name " + repository
	case e.NoRepository():
		return "this registry makes no repositories by itself: create " + repository + " there, or name another with -t"
	case e.ReadOnly():
		return "nothing can be pushed there, as with a mirror or a registry that is read-only: -t names another place"
	case e.Immutable():
		return "the tag is another image already and may not be changed there: -t names another tag"
	case e.MediaTypes():
		return "--format docker gives the image Docker's media types, --compression gzip compresses for everybody"
	}
	return "access was denied: kanso doctor " + host + " says which credentials are used; log in with others, or name another repository with -t"
}
