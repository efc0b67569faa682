package layers

import "errors"

// ErrBelow says that a layer cannot be unpacked without those below it.
var ErrBelow = errors.New("the layer needs those below it")

// Apart is what a layer that was unpacked without those below it takes from
// them, for [Ground]. It can be kept as JSON.
type Apart struct {
	// Implied are directories that the layer has no entry for, "." among them:
	// they are as they are below.
	Implied map[string]bool `json:"implied,omitempty"`
	// Crossed are all directories that paths of the layer led through without an
	// entry that made them: below, they must not be links.
	Crossed map[string]bool `json:"crossed,omitempty"`
}

// ask notes that a directory is to be looked up below.
func (a *Apart) ask(p string) {
	if a.Implied == nil {
		a.Implied, a.Crossed = map[string]bool{}, map[string]bool{}
	}
	a.Implied[p], a.Crossed[p] = true, true
}

// told notes that the layer itself says what a directory is, or that it is none.
func (a *Apart) told(p string) {
	if a != nil {
		delete(a.Implied, p)
	}
}
