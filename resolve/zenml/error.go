// Package zenml knows ZenML's files, names and facts: run configurations, stack
// exports, the client's configuration, the catalogue of integrations, and what
// each version of ZenML does differently.
//
// It reads and says; it decides nothing about an image, looks at no source
// file and runs nothing. Values that may be secret leave it only where
// somebody asks for them by name.
package zenml

import "fmt"

// An Error is something wrong in a file of the user's.
type Error struct {
	File   string // as it was named
	Line   int    // 0 if no line is to blame
	Msg    string
	Advice string // what to do about it; may be empty
}

func (e *Error) Error() string {
	switch {
	case e.File == "":
		return e.Msg
	case e.Line == 0:
		return e.File + ": " + e.Msg
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
}

// Hint says what to do about the error.
func (e *Error) Hint() string { return e.Advice }

// nearest returns the word that is least different from s, or nothing if all
// are very different.
func nearest(s string, words []string) string {
	best, least := "", len(s)/2+1
	for _, w := range words {
		if d := distance(s, w); d < least {
			best, least = w, d
		}
	}
	return best
}

// distance is how many letters have to be added, dropped or changed to make
// one word of another (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			last, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, last+cost)
		}
	}
	return row[len(b)]
}
