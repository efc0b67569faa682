package resolve

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Lines are joined and comments dropped as pip does it, and counted.
func TestRequirementsAreReadAsPipReadsThem(t *testing.T) {
	content := "# a comment\n\na==1 \\\n    --hash=sha256:x \\\n    --hash=sha256:y  # of the wheel\n" +
		"b==2 # \\ no more\nc==3 \\\n# between\nd==4\r\n--index-url https://example.com/#not-a-comment\ne==5 \\"
	want := []requirement{
		{3, "a==1     --hash=sha256:x     --hash=sha256:y"}, {6, "b==2"}, {7, "c==3"}, {9, "d==4"},
		{10, "--index-url https://example.com/#not-a-comment"}, {11, "e==5"},
	}
	got := requirementsIn(content)
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(requirement{})); diff != "" {
		t.Error(diff)
	}
}

func TestWhatHasNoHash(t *testing.T) {
	hash := " --hash=sha256:" + strings.Repeat("a", 64)
	for text, want := range map[string]string{
		"a==1" + hash: "",
		"a[x,y] == 1.0 ; python_version > '3'" + hash:                     "",
		"a===1" + hash + hash:                                             "",
		"a (==1)" + hash:                                                  "",
		"a==1 --hash sha256:" + strings.Repeat("A", 64):                   "",
		"a==1 --hash=sha512:" + strings.Repeat("a", 128):                  "",
		"a @ https://example.com/a.whl#sha256=" + strings.Repeat("a", 64): "",
		"https://example.com/a.whl" + hash:                                "",
		"--index-url https://me:secret@example.com/":                      "",
		"--find-links /wheels":                                            "",
		"a":                                                               "a has no hash",
		"a==1":                                                            "a has no hash",
		"a==1 --hash=md5:aaaa":                                            "a has no hash",
		"a==1 --hash=sha256:aaaa":                                         "a has no hash",
		"a>=1" + hash:                                                     "a is not pinned to one version with ==",
		"a==1.*" + hash:                                                   "a is not pinned to one version with ==",
		"a==1,<2" + hash:                                                  "a is not pinned to one version with ==",
		"a" + hash:                                                        "a is not pinned to one version with ==",
		"a @ git+https://me:secret@example.com/a":                         "a has no hash",
		"https://me:secret@example.com/a.whl":                             "what comes from a URL or a path has no hash",
		"./local":                                                         "what comes from a URL or a path has no hash",
		"-e ./local":                                                      "an editable requirement has no hash",
		"--editable=./local":                                              "an editable requirement has no hash",
		"-r other.txt":                                                    "it names another file, which is not in the image",
		"--constraint=other.txt":                                          "it names another file, which is not in the image",
	} {
		if got := unhashed(text); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
