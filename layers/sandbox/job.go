package sandbox

import "encoding/json"

// A job is what the inner process is told to do.
type job struct {
	Kind    string // jobRun, jobCall, jobProbe or jobRemove
	Mode    Mode
	Owners  string
	Scratch string
	One     bool // only one id is mapped
	Real    bool // root of the machine, no user namespace
	PidNS   bool // process 1 of its own pid namespace
	Run     *runJob
	Verb    string
	Args    json.RawMessage
}

// A runJob is the part of a Command that is not a stream.
type runJob struct {
	Lowers    []string
	Args, Env []string
	Dir       string
	UID, GID  int
	Groups    []int
	Files     []File
	Mounts    []Mount
	Network   string
	Proxy     string
	Hostname  string
	Hosts     []string
	Ulimits   []Ulimit
	Foreign   bool
	ShmSize   int64
	Keep      string
}

const (
	jobRun    = "run"
	jobCall   = "call"
	jobProbe  = "probe"
	jobRemove = "remove"
)

// An outcome is what the inner process reports at its end.
type outcome struct {
	Error    string // "" if it was done
	Exited   bool   // a command ran and ended with Code
	Code     int
	NoRecord bool // changes of owner were not recorded though there is one id
	Probe    *probed
}

// probed says what worked in a probe; the text is the error.
type probed struct {
	Overlay, Tmpfs, Bind, Proc, Chroot, Record string
}
