package main

import "bytes"

// The lengths in bytes up to which a user and a password are looked for in a URL,
// and from which on a user without a password is a token.
const (
	maxUserinfo = 1024
	minToken    = 20
)

// userinfo finds the password of a URL, else a token in the user's place, in
// data that begins with the colon after a scheme: it is from from to to, and to
// is 0 if there is none. wait says that more data may show one.
func userinfo(data []byte) (from, to int, wait bool) {
	const sep = "://"
	if len(data) <= len(sep) {
		return 0, 0, bytes.HasPrefix([]byte(sep), data)
	}
	if string(data[:len(sep)]) != sep {
		return 0, 0, false
	}
	end := bytes.IndexAny(data[len(sep):min(len(data), maxUserinfo)], "/ \t\r\n\"'`<>@?#\\")
	if end < 0 {
		return 0, 0, len(data) < maxUserinfo
	}
	to = len(sep) + end
	if data[to] != '@' {
		return 0, 0, false
	}
	from = len(sep)
	if colon := bytes.IndexByte(data[from:to], ':'); colon >= 0 {
		from += colon + 1
	} else if to-from < minToken {
		return 0, 0, false
	}
	if secret := data[from:to]; len(secret) == 0 || secret[0] == '$' || string(secret) == mask {
		return 0, 0, false
	}
	return from, to, false
}
