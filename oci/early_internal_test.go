package oci

import (
	"context"
	"testing"
)

// An Install that asks for something else gives a guess up, but not one that a step
// of another stage waits for.
func TestAGuessIsGivenUpUnlessAStepWaitsForIt(t *testing.T) {
	asks := func(key string) work { return work{key: key, install: &installing{}} }
	for _, waited := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		e := early{begun: true}
		l := e.take(&Builder{}, asks("guessed"), &guessed{cancel: cancel})
		if waited && e.ask(asks("guessed")) != l {
			t.Fatal("the guess is not there")
		}
		if e.ask(asks("other")) != nil {
			t.Error("there is something that nobody began")
		}
		if gone := ctx.Err() != nil; gone == waited {
			t.Errorf("waited for %v: given up %v", waited, gone)
		}
		if found := e.ask(asks("guessed")); (found == l) != waited {
			t.Errorf("waited for %v: found %v", waited, found)
		}
		cancel()
	}
}
