package cache

import (
	"context"
	"os"
	"time"
)

// A lock is held by an open file; it ends with the process.
type lock struct {
	f *os.File
	// none says that the file system has no locks: whoever tries one has it, and
	// who else has it is not known.
	none bool
}

// forgotten is the age beyond which what nobody can have locked is taken for left
// over by a build that was killed.
const forgotten = 24 * time.Hour

// poll is how often a lock that somebody holds is tried.
const poll = 20 * time.Millisecond

func openLock(file string) (*lock, error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return &lock{f: f}, nil
}

// wait takes the lock, alone or shared, instead of what was held before.
func (l *lock) wait(ctx context.Context, alone bool) error {
	for {
		ok, err := l.try(alone)
		if ok || err != nil {
			return err
		}
		t := time.NewTimer(poll)
		select {
		case <-ctx.Done():
			t.Stop()
			return context.Cause(ctx)
		case <-t.C:
		}
	}
}

func (l *lock) close() error { return l.f.Close() }
