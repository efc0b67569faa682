package resolve

import "io/fs"

// linkedFiles would remember files that have several names; there are none on
// Windows that ZenML would notice.
type linkedFiles struct{}

func (*linkedFiles) first(string, fs.FileInfo) string { return "" }
