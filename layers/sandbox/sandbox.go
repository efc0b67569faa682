// Package sandbox runs one command in a root file system that is made of
// unpacked layers, as an ordinary user and without a container runtime: the
// process starts itself again in namespaces of its own, stacks the layers,
// enters them and hands what the command changed to a function of the caller
// that runs in the same namespaces.
//
// It isolates a build step from the machine's files and processes. It is no
// security boundary against hostile commands: these share the kernel and, if
// not told otherwise, the network. It knows neither images nor tar; what is
// done to trees and changes is in the [Verb] functions given to [Main]. It does
// not limit memory or time and never asks for more rights than it has.
package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// IDs says which user and group ids exist in the sandbox.
type IDs string

// IDsAuto is every id for root with CAP_SETUID, CAP_SETGID and CAP_SETFCAP and
// IDsSingle for everyone else. IDsSingle maps the caller's own id to root and
// nothing else: changes of owner are recorded instead of made, and there is no
// becoming another user. IDsSubuid adds the ids that /etc/subuid and
// /etc/subgid lend the caller; root has all ids anyway.
const (
	IDsAuto   IDs = "auto"
	IDsSingle IDs = "single"
	IDsSubuid IDs = "subuid"
)

// Mode is a way to run a command.
type Mode string

// The modes, in the order in which they are tried. ModeOverlay stacks the
// layers with the kernel's overlayfs. ModeTmpfs does too but has what the
// command writes in memory, for scratch directories that are on an overlay
// themselves. ModeCopy makes a private copy of the stacked layers. ModeChroot
// enters such a copy without namespaces and needs root with CAP_SYS_CHROOT.
// ModeLoader needs nothing at all and does nothing but install wheels: the
// image's Python is started in a private copy by the image's own dynamic
// loader, outside of any isolation, so it sees the machine's files.
const (
	ModeOverlay Mode = "overlay"
	ModeTmpfs   Mode = "tmpfs"
	ModeCopy    Mode = "copy"
	ModeChroot  Mode = "chroot"
	ModeLoader  Mode = "loader"
)

// Errors that a caller may test for.
var (
	// ErrUnavailable says that no mode works here; its text says why.
	ErrUnavailable = errors.New("no way to run commands in an image here")
	// ErrUnsupported says that the operating system is not Linux.
	ErrUnsupported = errors.New("commands are run in images on Linux only")
	// ErrNeedsIDs says that a command failed since it needs more than one id.
	ErrNeedsIDs = errors.New("the command needs more than one user id (subordinate ids)")
)

// Options say how a sandbox is made.
type Options struct {
	// Dir is an existing directory, better private, on the file system of the
	// trees. Whatever is written while a command runs is below it in
	// directories run-*, which are removed afterwards.
	Dir string
	// Mode is the only mode to be tried; empty tries one after another.
	Mode Mode
	// IDs is IDsAuto if empty.
	IDs IDs
	// Exe is the program that is started as the sandbox's inner process and
	// calls [Main] first; empty is the running one.
	Exe string
	// Log is told what a user may want to know of a mode that did not work;
	// it may be nil.
	Log io.Writer
}

// MountKind says what is mounted.
type MountKind string

// The kinds of mounts. MountHost shows a file, directory or socket of the host.
// MountCopy does too, but of a copy that was made for the command alone and is
// of no use afterwards. MountTrees shows what stacked trees show; writes are
// thrown away. MountCache shows the directory "fs" of a directory of the host,
// which is made if it is not there. MountTmpfs is empty and in memory, MountFile
// a read-only file in memory. MountPackages shows what a package manager keeps
// between commands in the directory Source or, in ModeOverlay, what is in the
// directory "fs" of the directory Linked: files of trees may be other names of
// these, so that no later command can write to them; what one writes joins them
// when it has ended, whatever its status, but not if it is killed.
const (
	MountHost  MountKind = ""
	MountCopy  MountKind = "copy"
	MountTrees MountKind = "trees"
	MountCache MountKind = "cache"
	MountTmpfs MountKind = "tmpfs"
	MountFile  MountKind = "file"

	MountPackages MountKind = "packages"
)

// A Mount makes something visible to the command. Neither the mount point, if
// the image has none, nor what is written there is among the changes. In
// ModeChroot nothing can be mounted: of what the host lends files are copied in
// and directories are empty, everything else is put into the copy, where
// ReadOnly and Size do not count.
type Mount struct {
	Kind     MountKind
	Source   string // on the host
	Target   string // absolute, in the image; made if it is missing
	ReadOnly bool
	// Linked is where a MountPackages is kept that began empty, in ModeOverlay and on
	// the file system of Options.Dir, with a command that has Vars: "NAME=value", added
	// to its environment, since it can link files of the cache into the image. It must
	// be one that does not write to what it has linked.
	Linked string
	Vars   []string
	// Lowers are trees, topmost first: those of MountTrees, or what a MountCache
	// begins with.
	Lowers []string
	// Path is what is shown of Source (MountCopy), or of Lowers; links in it are
	// followed there, and never out of it.
	Path string
	// Data is the content of a MountFile.
	Data []byte
	// Mode, UID and GID are those of a MountFile, of a MountCache's directory when
	// it is made, and of the socket that a MountCopy is, if Mode is not 0. With
	// one id the owner is whom the command runs as.
	Mode     uint32
	UID, GID int
	// Size limits a MountTmpfs, in bytes; 0 does not.
	Size int64
}

// The networks of commands: the machine's, a loopback device, and such a device
// with nothing behind it but a proxy.
const (
	NetworkHost  = "host"
	NetworkNone  = "none"
	NetworkProxy = "proxy"
)

// ProxySocket is the name of the proxy's socket on the host, and ProxyAddress
// where it is for the command.
const (
	ProxySocket  = "proxy"
	ProxyAddress = "127.0.0.1:3128"
)

// A Ulimit is a limit of the command's resources (setrlimit(2)) by the name that
// Docker has for it, such as "nofile"; -1 is none.
type Ulimit struct {
	Name       string
	Soft, Hard int64
}

// A File is put in place before a command runs, and is among its changes.
type File struct {
	Path     string // absolute, in the image; missing directories are made
	Mode     uint32 // permissions
	UID, GID int
	Data     []byte
}

// A Command is what is run once in a stack of trees.
type Command struct {
	// Lowers are tree directories, topmost first: each holds the files in fs
	// and owners of what cannot have attributes in owners.json.
	Lowers []string
	// Args is the command; without a slash it is looked up in Env's PATH,
	// inside. Env is the whole environment, Dir a directory there, which is made,
	// as UID's and GID's, if it is missing, and is among the changes then.
	Args, Env []string
	Dir       string
	// UID, GID and Groups are whom it runs as. With one id the machine's files
	// that the command sees are all its own.
	UID, GID int
	Groups   []int
	Files    []File
	// Mounts are mounted in their order, later ones over earlier ones.
	Mounts []Mount
	// Network is [NetworkHost] if it is empty. Where there are no namespaces it can
	// be nothing else.
	Network string
	// Proxy is a directory of the host with the socket [ProxySocket] in it, to
	// which connections to [ProxyAddress] are led with [NetworkProxy].
	Proxy string
	// Hostname is "localhost" if empty; else /etc/hosts is made for it, with the
	// lines of Hosts ("ADDRESS NAME") and what the machine's own has of others.
	Hostname string
	Hosts    []string
	Ulimits  []Ulimit
	// ShmSize is the size of /dev/shm in bytes; 0 is the kernel's choice.
	ShmSize int64
	// Foreign says that the command is not ours: ModeLoader, which isolates
	// nothing, refuses it, and with one id it is shown the owners that are noted,
	// which takes time.
	Foreign bool
	// Stdin nil is empty. Stdout and Stderr may be nil and may be the same.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// After is called inside with the changes if the command exited with 0.
	After *Call
	// Discard says that the changes are thrown away; then Stdin, Stdout and
	// Stderr that are files are given to the command as they are, terminals
	// included, and ExitError has no tail.
	Discard bool
	// Keep is an existing directory, on Options.Dir's file system, that
	// becomes a tree with the changes after After succeeded. See [Sandbox.CanKeep].
	Keep string
}

// A Call runs a verb in the sandbox. In and Out may be nil.
type Call struct {
	Verb string
	Args any // marshalled to JSON
	In   io.Reader
	Out  io.Writer
}

// Changes says where a verb finds what a command changed: in Upper, the upper
// directory of an overlay of Lowers (with user.overlay.* attributes), or in
// Root, compared with the snapshot in the file Before.
type Changes struct {
	Upper  string   `json:"upper,omitempty"`
	Root   string   `json:"root,omitempty"`
	Before string   `json:"before,omitempty"`
	Lowers []string `json:"lowers,omitempty"` // directories with files, topmost first
	Tables []string `json:"tables,omitempty"` // their owners.json, same order
	// ChownTable is a JSON file {"path": {"uid": n, "gid": n, "mode": n}} with
	// the owners of changed entries that cannot have attributes, -1 being as it
	// was; paths have no leading slash, and one that is not UTF-8 is a zero and
	// its bytes in hexadecimal. It may be missing.
	ChownTable string `json:"chown_table,omitempty"`
	// Skip are the mount points made for the command, absolute.
	Skip []string `json:"skip,omitempty"`
}

// Env is what a verb gets.
type Env struct {
	Changes *Changes // nil if no command ran
	Owners  string   // as [Sandbox.Owners]
	Args    json.RawMessage
	In      io.Reader // empty if Call had none
	Out     io.Writer
}

// A Verb is a function that is run inside the sandbox, as root there and with
// the host's files visible. Its error reaches the caller as text only.
type Verb func(ctx context.Context, e Env) error

// MergeArgs are the arguments of the verb "merge", which modes without an
// overlay need: a copy of the stacked trees Lowers (topmost first) is made in
// the existing directory Dst.
type MergeArgs struct {
	Lowers []string `json:"lowers"`
	Dst    string   `json:"dst"`
	Owners string   `json:"owners"`
}

// SnapshotArgs are the arguments of the verb "snapshot", which modes without an
// overlay need: what is in Root is noted in File.
type SnapshotArgs struct {
	Root string `json:"root"`
	File string `json:"file"`
}

// An ExitError says that a command ended with something else than 0.
type ExitError struct {
	Args []string
	Code int    // 128 + n if signal n ended it, 127 if there is no such command
	Tail string // the last lines it printed
	IDs  bool   // it had one id, and what it printed looks as if it needed more
}

// Error says the exit code only: the step it is of names the command already,
// and the tail is left to the caller.
func (e *ExitError) Error() string { return fmt.Sprintf("exit code %d", e.Code) }

// A Report says what of the sandbox works here, for people.
type Report struct {
	Mode   Mode         // what Open would take, "" if nothing
	IDs    string       // "root", "identity", "single" or "subuid"
	Record bool         // changes of owner can be recorded
	Modes  []ModeReport // in the order of trying
	Facts  []Fact       // settings of the kernel and the process that matter
}

// A ModeReport says of one mode and one way to map ids if it works, if not why,
// and what would allow it.
type ModeReport struct {
	Mode Mode
	IDs  string
	OK   bool
	Why  string
	Fix  string
}

// A Fact is a setting and its value, "absent" if there is no such setting.
type Fact struct{ Name, Value string }
