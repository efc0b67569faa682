package oci

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// explained makes a registry's "not there" wrap [ErrNotFound], and leaves out what
// hides a cause.
func explained(err error) error {
	var t *transport.Error
	if err = telling(err); !errors.As(err, &t) {
		return err
	}
	if len(t.Errors) > 0 && t.Request != nil {
		err = &answerError{t, err}
	}
	if t.StatusCode == http.StatusNotFound {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}

// An answerError is an answer in the form of the OCI distribution specification,
// told without what the registry adds for programs.
type answerError struct {
	t   *transport.Error
	err error // with t in it
}

func (e *answerError) Error() string {
	at := *e.t.Request.URL
	at.RawQuery, at.User = "", nil // they may hold a token
	var all []string
	for _, d := range e.t.Errors {
		all = append(all, strings.TrimSuffix(string(d.Code)+": "+d.Message, ": "))
	}
	return e.t.Request.Method + " " + at.String() + ": " + strings.Join(all, "; ")
}

func (e *answerError) Unwrap() error { return e.err }
