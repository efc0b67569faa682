package main

import (
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// differences are those that are there for a reason.
type differences struct {
	mu   sync.Mutex
	list []*difference
}

type difference struct {
	where, what *regexp.Regexp
	line        int
	used        bool
}

const (
	differencesFile = "../../testdata/dockerfile/differences.txt"
	mostDifferences = 10
)

// readDifferences reads lines of a case's name, what differs (both expressions) and the reason, with tabs between them.
func readDifferences(t *testing.T, apply bool) *differences {
	t.Helper()
	d := &differences{}
	if !apply {
		return d
	}
	data, err := os.ReadFile(differencesFile)
	must(t, err)
	for i, line := range strings.Split(string(data), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, "\t")
		if len(fields) != 3 || strings.TrimSpace(fields[2]) == "" {
			t.Fatalf("%s:%d: want case, difference and reason with tabs between them", differencesFile, i+1)
		}
		d.list = append(d.list, &difference{where: regexp.MustCompile("^(" + fields[0] + ")$"), what: regexp.MustCompile("^(" + fields[1] + ")$"), line: i + 1})
	}
	if len(d.list) > mostDifferences {
		t.Errorf("%s has %d differences, %d are the most", differencesFile, len(d.list), mostDifferences)
	}
	return d
}

func (d *differences) has(name, what string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, one := range d.list {
		if one.where.MatchString(name) && one.what.MatchString(what) {
			one.used = true
			return true
		}
	}
	return false
}

func (d *differences) unused(t *testing.T) {
	for _, one := range d.list {
		if !one.used {
			t.Errorf("%s:%d: nothing differs in this way any more", differencesFile, one.line)
		}
	}
}
