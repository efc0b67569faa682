package sandbox

import "golang.org/x/sys/unix"

// A refusal is a system call that commands cannot make, by its numbers on amd64,
// arm64 and i386, where it has one.
type refusal struct {
	name               string
	amd64, arm64, i386 int
	errno              unix.Errno
	alone              bool // only where there is no pid namespace
}

// none says that an architecture has no such call.
const none = -1

// newest is the highest number of a system call that these lists were made with:
// newer ones do not exist for commands, who have to do without them anyway.
const newest = 471

// refusals are the calls that Docker's default profile refuses to containers
// without more capabilities than usual, but for those that the kernel refuses to
// them by itself and that programs ask for all the same. What is built in Docker
// does without them.
func refusals() []refusal { return append(kernelRefusals(), machineRefusals()...) }

func kernelRefusals() []refusal {
	const perm, nosys = unix.EPERM, unix.ENOSYS
	return []refusal{
		// Namespaces and mounts: the way to most of the kernel's weaknesses.
		{"unshare", 272, 97, 310, perm, false},
		{"setns", 308, 268, 346, perm, false},
		{"clone3", 435, 435, 435, nosys, false}, // its flags cannot be seen; clone does for everybody
		{"mount", 165, 40, 21, perm, false},
		{"umount", none, none, 22, perm, false},
		{"umount2", 166, 39, 52, perm, false},
		{"pivot_root", 155, 41, 217, perm, false},
		{"open_tree", 428, 428, 428, perm, false},
		{"move_mount", 429, 429, 429, perm, false},
		{"fsopen", 430, 430, 430, perm, false},
		{"fsconfig", 431, 431, 431, perm, false},
		{"fsmount", 432, 432, 432, perm, false},
		{"fspick", 433, 433, 433, perm, false},
		{"mount_setattr", 442, 442, 442, perm, false},
		{"statmount", 457, 457, 457, perm, false},
		{"listmount", 458, 458, 458, perm, false},
		{"open_tree_attr", 467, 467, 467, perm, false},
		// The kernel's keys, programs, modules and its own memory.
		{"add_key", 248, 217, 286, perm, false},
		{"request_key", 249, 218, 287, perm, false},
		{"keyctl", 250, 219, 288, perm, false},
		{"bpf", 321, 280, 357, perm, false},
		{"perf_event_open", 298, 241, 336, perm, false},
		{"userfaultfd", 323, 282, 374, perm, false},
		{"io_uring_setup", 425, 425, 425, nosys, false},
		{"io_uring_enter", 426, 426, 426, nosys, false},
		{"io_uring_register", 427, 427, 427, nosys, false},
		{"init_module", 175, 105, 128, perm, false},
		{"finit_module", 313, 273, 350, perm, false},
		{"delete_module", 176, 106, 129, perm, false},
		{"create_module", 174, none, 127, perm, false},
		{"query_module", 178, none, 167, perm, false},
		{"get_kernel_syms", 177, none, 130, perm, false},
		{"kexec_load", 246, 104, 283, perm, false},
		{"kexec_file_load", 320, 294, none, perm, false},
		{"lookup_dcookie", 212, 18, 253, perm, false},
		{"fanotify_init", 300, 262, 338, perm, false},
		{"open_by_handle_at", 304, 265, 342, perm, false}, // opens what is not mounted
		{"nfsservctl", 180, 42, 169, perm, false},
		{"quotactl", 179, 60, 131, perm, false},
		{"quotactl_fd", 443, 443, 443, perm, false},
		{"syslog", 103, 116, 103, perm, false},
		{"uselib", 134, none, 86, perm, false},
		{"ustat", 136, none, 62, perm, false},
		{"sysfs", 139, none, 135, perm, false},
		{"_sysctl", 156, none, 149, perm, false},
		{"iopl", 172, none, 110, perm, false},
		{"ioperm", 173, none, 101, perm, false},
		{"vm86", none, none, 166, perm, false},
		{"vm86old", none, none, 113, perm, false},
	}
}

func machineRefusals() []refusal {
	const perm = unix.EPERM
	return []refusal{
		// The machine.
		{"acct", 163, 89, 51, perm, false},
		{"reboot", 169, 142, 88, perm, false},
		{"swapon", 167, 224, 87, perm, false},
		{"swapoff", 168, 225, 115, perm, false},
		{"sethostname", 170, 161, 74, perm, false},
		{"setdomainname", 171, 162, 121, perm, false},
		{"settimeofday", 164, 170, 79, perm, false},
		{"clock_settime", 227, 112, 264, perm, false},
		{"clock_adjtime", 305, 266, 343, perm, false},
		{"stime", none, none, 25, perm, false},
		{"vhangup", 153, 58, 111, perm, false},
		{"get_mempolicy", 239, 236, 275, perm, false},
		{"set_mempolicy", 238, 237, 276, perm, false},
		{"set_mempolicy_home_node", 450, 450, 450, perm, false},
		{"mbind", 237, 235, 274, perm, false},
		{"migrate_pages", 256, 238, 294, perm, false},
		{"move_pages", 279, 239, 317, perm, false},
		// Other processes, where those that can be seen are not the command's alone.
		{"ptrace", 101, 117, 26, perm, true},
		{"process_vm_readv", 310, 270, 347, perm, true},
		{"process_vm_writev", 311, 271, 348, perm, true},
		{"process_madvise", 440, 440, 440, perm, true},
		{"pidfd_getfd", 438, 438, 438, perm, true},
		{"kcmp", 312, 272, 349, perm, true},
	}
}

// An argument is a value of a call's argument for which the call is refused.
type argument struct {
	name               string
	amd64, arm64, i386 int
	index              int
	// one of these values, or any of these bits; or anything but one of only.
	values []uint32
	bits   uint32
	only   []uint32
	alone  bool
}

// arguments are the calls that are refused for some arguments.
func arguments() []argument {
	const spaces = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP
	const tioclinux = 0x541c
	return []argument{
		{name: "clone", amd64: 56, arm64: 220, i386: 120, index: 0, bits: spaces},
		{name: "ioctl", amd64: 16, arm64: 29, i386: 54, index: 1, values: []uint32{unix.TIOCSTI, tioclinux}}, // types into the terminal
		{name: "socket", amd64: 41, arm64: 198, i386: 359, index: 0, values: []uint32{unix.AF_VSOCK}},        // reaches past network namespaces
		{name: "personality", amd64: 135, arm64: 92, i386: 136, index: 0, only: []uint32{0, 0x8, 0x20000, 0x20008, 0xffffffff}},
		{name: "kill", amd64: 62, arm64: 129, i386: 37, index: 0, values: []uint32{0xffffffff}, alone: true}, // everybody
	}
}
