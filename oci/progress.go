package oci

// Progress is told what goes on. It may be called by several goroutines.
type Progress interface {
	// Step begins a step of the build.
	Step(name string)
	// Bytes begins a transfer of so many bytes, -1 if that is not known. add
	// is called as they pass, done when it ends.
	Bytes(task string, total int64) (add func(n int64), done func(error))
	// Note says something worth a line.
	Note(msg string)
}

// silent is nobody listening.
type silent struct{}

func (silent) Step(string) {}
func (silent) Note(string) {}
func (silent) Bytes(string, int64) (func(int64), func(error)) {
	return func(int64) {}, func(error) {}
}

// heard is p or, if that is nil, nobody.
func heard(p Progress) Progress {
	if p == nil {
		return silent{}
	}
	return p
}
