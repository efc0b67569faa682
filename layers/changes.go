package layers

import "time"

// Changes says where what a command changed is to be found: in the upper
// directory of an overlay, or in a copy of the tree that is compared with a
// [Snapshot] of it.
type Changes struct {
	// Upper is an upper directory of overlayfs mounted with userxattr.
	Upper string
	// Root is a copy, and Before the file with its snapshot.
	Root, Before string
	// Lowers are the directories with the files that the command found, the
	// topmost first, and Tables their owner tables, in the same order.
	Lowers, Tables []string
	// ChownTable is a file with an [OwnerTable] of changed entries that carry
	// no attributes. It may be missing. With Settle it is written anew.
	ChownTable string
	// Skip are paths, absolute in the image, at which something was mounted.
	Skip []string
}

// CaptureOptions say how changes become a layer.
type CaptureOptions struct {
	// Owners says how owners are kept on disk.
	Owners Owners `json:"owners"`
	// UID and GID own what the command added, where owners are attributes.
	UID int `json:"uid"`
	GID int `json:"gid"`
	// Time is the modification time of every entry; zero keeps those on disk.
	Time time.Time `json:"time"`
	// KeepPyc lets the sources that a .pyc with a time in it belongs to keep
	// their own time; without it the time in the .pyc is set to Time.
	KeepPyc bool `json:"keep_pyc"`
	// Settle also changes the files on disk so that the upper directory holds
	// what the layer, unpacked, would.
	Settle bool `json:"settle"`
}
