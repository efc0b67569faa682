package cache

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A session is the note of one open cache: a locked file whose modification
// time is when it was opened. What was used since is not evicted.
type session struct {
	l     *lock
	began time.Time
}

func (d *Dir) beginSession() error {
	for {
		f, err := os.CreateTemp(filepath.Join(d.root, sessionsDir), "session-")
		if err != nil {
			return err
		}
		l := &lock{f: f}
		mine, err := l.try(true)
		now := d.now() // the same clock as that of the entries
		if err == nil && mine && !now.IsZero() {
			err = os.Chtimes(f.Name(), now, now)
		}
		if err == nil && mine {
			d.session = session{l, now}
			return nil
		}
		if err = errors.Join(gone(err), l.close()); err != nil {
			return err
		}
		// Somebody took it for abandoned before it was locked.
	}
}

func (s session) end() error {
	if s.l == nil {
		return nil
	}
	os.Remove(s.l.f.Name())
	return s.l.close()
}

// running are the builds that are under way.
type running struct {
	since  time.Time // when the first of them began
	now    time.Time // zero without a clock
	others bool      // whether there are others than this one
}

// uses says whether something that was used at a time may be in use. What was
// used in the future is so only if others run: the clock went back.
func (r running) uses(t time.Time) bool {
	return !r.since.IsZero() && !t.Before(r.since) && (r.others || r.now.IsZero() || !t.After(r.now))
}

// sessions looks which builds run. Notes of builds that were killed are removed.
func (d *Dir) sessions() (running, error) {
	entries, err := os.ReadDir(filepath.Join(d.root, sessionsDir))
	if err != nil {
		return running{}, err
	}
	r := running{}
	if d.o.Now != nil {
		r.now = d.o.Now()
	}
	for _, e := range entries {
		file := filepath.Join(d.root, sessionsDir, e.Name())
		info, err := os.Stat(file)
		if err != nil {
			continue // it ended meanwhile
		}
		mine := file == d.session.l.f.Name()
		if !mine && d.abandoned(file, info) {
			os.Remove(file)
			continue
		}
		r.others = r.others || !mine
		if r.since.IsZero() || info.ModTime().Before(r.since) {
			r.since = info.ModTime()
		}
	}
	return r, nil
}

// abandoned says whether nobody holds the lock of a session, or whether it is old
// where there are no locks.
func (d *Dir) abandoned(file string, info fs.FileInfo) bool {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	l := &lock{f: f}
	defer l.close()
	free, err := l.try(true)
	return free && err == nil && (!l.none || d.old(info))
}

// old says whether a file was written long ago.
func (d *Dir) old(info fs.FileInfo) bool {
	return d.o.Now != nil && d.o.Now().Sub(info.ModTime()) > forgotten
}
