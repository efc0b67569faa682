package sandbox

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWhatWouldAllowMore(t *testing.T) {
	const all = chroots | 1<<unix.CAP_SETFCAP
	for name, c := range map[string]struct {
		rights rights
		want   string // in the hint; empty if there is none
	}{
		"a user, a profile":                {rights{false, true, 0}, "seccompProfile: {type: Unconfined}"},
		"a user, none":                     {rights{false, false, 0}, ""},
		"root, a profile":                  {rights{true, true, all}, ""},
		"root, none":                       {rights{true, false, all}, ""},
		"root that may little":             {rights{true, true, 0}, "add: [CHOWN,"},
		"root that may little, unconfined": {rights{true, false, 0}, "runAsUser: 1000"},
	} {
		got := allowance(c.rights)
		if !strings.Contains(got, c.want) || (c.want == "") != (got == "") {
			t.Errorf("%s: %q", name, got)
		}
	}
}
