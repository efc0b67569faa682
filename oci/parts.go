package oci

import (
	"errors"
	"net/http"
)

// An upload is sent in one request as long as that goes well. In parts of the
// following sizes, in bytes, it is sent to a registry that forgets what arrived of
// a request that was cut (distribution before version 3, and whatever stands behind
// a proxy that reads requests whole), so that no more than a part is lost, and
// through a proxy that lets no larger request pass.
const (
	largestPart  = 16 << 20
	smallestPart = 1 << 20
	// noParts says that the registry takes no second part.
	noParts = -1
)

// part is how many bytes the next request sends.
func (t *transfer) part() int64 {
	rest, part := t.size-t.at, t.u.part.Load()
	if part <= 0 {
		return rest
	}
	return min(rest, max(part, t.least))
}

// smaller makes parts smaller than n after a request of n bytes that was too
// large, if they can be.
func (u *uploader) smaller(err error, n int64) bool {
	var status *statusError
	if !errors.As(err, &status) || status.code != http.StatusRequestEntityTooLarge || n <= smallestPart || u.monolithic.Load() {
		return false
	}
	now := u.part.Load()
	if now == noParts {
		return false
	}
	if now != 0 && now < n {
		return true // somebody else has seen it, too
	}
	return u.part.CompareAndSwap(now, max(smallestPart, min(largestPart, n/4))) || u.part.Load() < n
}

// refusesParts notes that a registry refused, with a status, a part after the
// first one.
func (u *uploader) refusesParts(at int64, status int) {
	if part := u.part.Load(); at > 0 && part > 0 && status != http.StatusRequestEntityTooLarge {
		u.part.CompareAndSwap(part, noParts)
	}
}
