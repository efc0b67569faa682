package main

import (
	"path"

	"github.com/kanso-build/kanso/layers/secrets"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve/plan"
)

// What --secret-scan may say.
const (
	scanStop = "stop"
	scanWarn = "warn"
	scanOff  = "off"
)

// scanned reads --secret-scan. What of a context is copied is a Dockerfile's to
// say, so there secrets are told of and no more, if nobody says otherwise.
func (b *buildRun) scanned() error {
	switch {
	case b.secretScan == "" && b.docker.given():
		b.secretScan = scanWarn
	case b.secretScan == "":
		b.secretScan = scanStop
	case b.secretScan != scanStop && b.secretScan != scanWarn && b.secretScan != scanOff:
		return usagef("--secret-scan %s: want stop, warn or off", b.secretScan)
	}
	return nil
}

// secrecy says what becomes of secrets in a plan's layers. What is allowed is a
// path in the image or, of what is copied, one in the sources.
func (b *buildRun) secrecy(p plan.Plan) oci.Secrecy {
	s := oci.Secrecy{Stop: b.secretScan == scanStop, Allow: b.project.o.AllowSecrets}
	for _, stage := range p.Stages {
		for _, step := range stage.Steps {
			c, ok := step.(plan.Copy)
			if !ok || c.Dest == "" {
				continue
			}
			for _, a := range b.project.o.AllowSecrets {
				if !path.IsAbs(a) {
					s.Allow = append(s.Allow, path.Join(c.Dest, a))
				}
			}
		}
	}
	return s
}

// tellOfSecrets warns of what was found in an image's layers.
func (b *buildRun) tellOfSecrets(found []secrets.Finding) {
	if b.secretScan == scanOff {
		return
	}
	for _, f := range found {
		b.warn("the image has a secret: " + f.String() + " (--allow-secret " + f.Path + " says that it may)")
	}
}
