package oci

import (
	"context"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/resolve/plan"
)

// checkFormat says before anything is made whether the image can have layers
// that are compressed as they will be.
func (b *Builder) checkFormat(ctx context.Context, p plan.Plan) error {
	if b.Compression.Name != layers.Zstd || len(p.Stages) == 0 {
		return nil
	}
	format := b.Format
	if format == "" {
		base := p.Stages[len(p.Stages)-1]
		for i := len(p.Stages) - 2; i >= 0 && base.BaseStage != ""; i-- {
			if p.Stages[i].Name == base.BaseStage {
				base = p.Stages[i]
			}
		}
		if base.BaseStage != "" {
			return nil // which carrying it out says better
		}
		found, err := b.Client.Base(ctx, base.Base, base.Platform)
		if err != nil {
			return err // says "base NAME" itself
		}
		if format, err = formatOf(found.Image); err != nil {
			return err
		}
	}
	if format == formatDocker {
		return ErrNeedsOCI
	}
	return nil
}
