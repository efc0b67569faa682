package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/kanso-build/kanso/layers/python"
)

// A pin is a distribution as an installer's resolver chose it.
type pin struct {
	Name    string `json:"name"` // normalized
	Version string `json:"version"`
	// Hashes of the wheels that it may be: "sha256:" and hexadecimal, sorted.
	Hashes []string `json:"hashes"`
	// Requested says that it was asked for by name, which stands in the image.
	Requested bool `json:"requested,omitempty"`
}

// String is the pin as requirements have it, without hashes.
func (p pin) String() string { return p.Name + "==" + p.Version }

// same says whether installing either gives the same files.
func (p pin) same(o pin) bool {
	return p.Name == o.Name && p.Version == o.Version && p.Requested == o.Requested && len(p.Hashes) > 0 && slices.Equal(p.Hashes, o.Hashes)
}

// lines are requirements for exactly these pins, after lines with options.
func lines(options []string, pins []pin, hashes bool) string {
	var b strings.Builder
	for _, o := range options {
		b.WriteString(o + "\n")
	}
	for _, p := range pins {
		b.WriteString(p.String())
		for _, h := range p.Hashes {
			if hashes {
				b.WriteString(" --hash=" + h)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// pinsOfReport reads the report of pip install (pip's "Installation Report",
// version 1).
func pinsOfReport(data []byte) ([]pin, error) {
	var report struct {
		Version string `json:"version"`
		Install []struct {
			Direct    bool `json:"is_direct"`
			Requested bool `json:"requested"`
			Metadata  struct {
				Name    string `json:"name"`
				Version string `json:"version"`
			} `json:"metadata"`
			Download struct {
				URL     string `json:"url"`
				Archive struct {
					Hash   string            `json:"hash"`
					Hashes map[string]string `json:"hashes"`
				} `json:"archive_info"`
			} `json:"download_info"`
		} `json:"install"`
	}
	if err := json.Unmarshal(data, &report); err != nil {
		return nil, fmt.Errorf("read report of pip: %w", err)
	}
	if report.Version != "1" {
		return nil, fmt.Errorf("pip's report has the version %q", report.Version)
	}
	pins := []pin{}
	for _, i := range report.Install {
		p := pin{Name: python.Normalized(i.Metadata.Name), Version: i.Metadata.Version, Requested: i.Requested}
		url, _, _ := strings.Cut(i.Download.URL, "#")
		url, _, _ = strings.Cut(url, "?")
		hash := i.Download.Archive.Hashes["sha256"]
		if old, ok := strings.CutPrefix(i.Download.Archive.Hash, "sha256="); ok && hash == "" {
			hash = old
		}
		switch {
		case i.Direct:
			return nil, fmt.Errorf("%s comes from a URL", p.Name)
		case !strings.HasSuffix(url, ".whl"):
			return nil, fmt.Errorf("%s is a source distribution", p.Name)
		case hash == "":
			return nil, fmt.Errorf("the index has no sha256 of %s", p.Name)
		}
		p.Hashes = []string{"sha256:" + hash}
		pins = append(pins, p)
	}
	return pins, nil
}

// uvChange is a line in which uv says what it changes, or would.
var uvChange = regexp.MustCompile(`(?m)^ ([+~-]) ([A-Za-z0-9._-]+)==(\S+)( \(.*\))?\r?$`)

// pinsOfUV reads what uv prints; it does not tell hashes. It notes every
// distribution as requested. replaced are those that others take the place of.
func pinsOfUV(text string) (pins []pin, replaced []string, err error) {
	for _, m := range uvChange.FindAllStringSubmatch(text, -1) {
		name := python.Normalized(m[2])
		switch {
		case m[1] == "-":
			replaced = append(replaced, name)
			continue
		case m[1] == "~":
			return nil, nil, fmt.Errorf("%s is installed again", name)
		case m[4] != "":
			return nil, nil, fmt.Errorf("%s comes from a URL", name)
		}
		pins = append(pins, pin{Name: name, Version: m[3], Requested: true})
	}
	return pins, replaced, nil
}

// addHashes adds the hashes that uv pip compile prints after each requirement.
func addHashes(pins []pin, text string) error {
	at := map[string]int{}
	for i, p := range pins {
		at[p.Name] = i
	}
	i := -1
	for line := range strings.Lines(text) {
		word := strings.TrimSuffix(strings.TrimSpace(line), " \\")
		if h, ok := strings.CutPrefix(word, "--hash="); ok && i >= 0 {
			pins[i].Hashes = append(pins[i].Hashes, h)
			continue
		}
		name, version, ok := strings.Cut(word, "==")
		if !ok || strings.HasPrefix(word, "#") || strings.HasPrefix(word, "-") {
			continue
		}
		n, known := at[python.Normalized(name)]
		if !known || pins[n].Version != version {
			return fmt.Errorf("uv resolves %s differently", name)
		}
		i = n
	}
	for _, p := range pins {
		if len(p.Hashes) == 0 {
			return fmt.Errorf("the index has no hash of %s", p.Name)
		}
		slices.Sort(p.Hashes)
	}
	return nil
}

// An installLine is the command of an Install that can be taken apart: an
// installer, options that say where distributions come from and no more, and one
// file of plain requirements.
type installLine struct {
	head    []string // "pip install"
	options []string // of the command
	lines   []string // with options, of the file
}

// The options that may stand in a command or, if they say so, in a file of
// requirements: those with a value, and those without.
const (
	valued    = " --default-timeout --timeout --retries --root-user-action --index-strategy --index --default-index --resolution --prerelease --keyring-provider --upgrade-strategy "
	valueless = " --no-cache-dir --quiet -q --no-input --disable-pip-version-check --upgrade -U --break-system-packages --no-warn-script-location --no-deps --system --no-compile --no-color "
	valuedToo = " -i --index-url --extra-index-url --trusted-host -f --find-links --only-binary "
	bareToo   = " --pre --prefer-binary --no-index "
)

func among(list, word string) bool { return strings.Contains(list, " "+word+" ") }

// takeApart reads the command of an Install and its file.
func takeApart(args []string, file, requirements string) (installLine, error) {
	var l installLine
	n := slices.Index(args, "install") + 1
	if head := strings.Join(args[:n], " "); head != "pip install" && head != "uv pip install" || file == "" {
		return l, errors.New("the command is none of pip or uv alone")
	}
	l.head = args[:n]
	files := 0
	for rest := args[n:]; len(rest) > 0; rest = rest[1:] {
		word := rest[0]
		name, _, joined := strings.Cut(word, "=")
		switch {
		case (word == "-r" || word == "--requirement") && len(rest) > 1 && path.Base(rest[1]) == path.Base(file):
			files++
			rest = rest[1:]
		case joined && among(valued+valuedToo, name), among(valueless+bareToo, word):
			l.options = append(l.options, word)
		case among(valued+valuedToo, word) && len(rest) > 1:
			l.options = append(l.options, word, rest[1])
			rest = rest[1:]
		default:
			return l, fmt.Errorf("the command has %s", word)
		}
	}
	if files != 1 {
		return l, errors.New("the command has not one file of requirements")
	}
	var err error
	l.lines, err = optionsOf(requirements)
	return l, err
}

// comment and plain are parts of requirement files.
var (
	comment = regexp.MustCompile(`(^|\s+)#.*$`)
	plain   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\s*(\[[A-Za-z0-9._,\s-]*\])?\s*([(<>=!~;].*)?$`)
	archive = regexp.MustCompile(`(?i)\.(whl|zip|tar|tgz|tbz|txz|tar\.[a-z0-9]+)$`)
)

// optionsOf are the lines of a file of requirements that are no requirements. A
// file with something else than plain requirements and where they come from is
// an error.
func optionsOf(requirements string) ([]string, error) {
	var options []string
	for line := range strings.Lines(requirements) {
		line = strings.TrimSpace(comment.ReplaceAllString(strings.TrimRight(line, "\r\n"), ""))
		if line == "" {
			continue
		}
		if !strings.HasPrefix(line, "-") {
			name, _, _ := strings.Cut(line, ";")
			if !plain.MatchString(line) || strings.ContainsAny(name, "@/\\") || strings.Contains(line, " --") || archive.MatchString(name) {
				return nil, fmt.Errorf("the requirement %q is not a name and versions", line)
			}
			continue
		}
		word, value := line, ""
		if i := strings.IndexAny(line, "= \t"); i > 0 {
			word, value = line[:i], strings.TrimSpace(line[i+1:])
		}
		switch {
		case value == "" && among(bareToo, word), among(" -i --index-url --extra-index-url --trusted-host --only-binary ", word) && value != "":
		case among(" -f --find-links ", word) && (strings.Contains(value, "://") || path.IsAbs(value)):
		default:
			return nil, fmt.Errorf("the requirements have %s", word)
		}
		options = append(options, line)
	}
	return options, nil
}
