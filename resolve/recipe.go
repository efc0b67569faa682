package resolve

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/kanso-build/kanso/resolve/plan"
	"github.com/kanso-build/kanso/resolve/zenml"
)

// A recipe is an image that is being decided.
type recipe struct {
	*resolution
	image  zenml.Image
	docker zenml.Docker
	out    *Image

	requirements []requirementFile
	userText     string // the settings' own of the user's requirements
	apt          []string
	sum          string // ZenML's checksum
	sources      FileSet
	own          *plan.Plan // of the user's own Dockerfile, whose image is the base
}

// makeImages decides which images there are, and what goes in each. Keys with
// equal checksums share one (zenml.md §15).
func (r *resolution) makeImages(ctx context.Context) error {
	wanted := r.wantedImages()
	if len(wanted) == 0 {
		return nil
	}
	if err := r.checkDownload(); err != nil {
		return err
	}
	recipes, err := r.recipesOf(ctx, wanted)
	if err != nil {
		return err
	}
	if err := r.checkStack(wanted); err != nil {
		return err
	}
	made, known := map[string]int{}, map[string]bool{}
	for _, c := range recipes {
		if known[c.out.Key] { // several components ask for the same
			continue
		}
		known[c.out.Key] = true
		at, ok := made[c.sum]
		if !ok {
			if err := c.make(ctx); err != nil {
				return err
			}
			at = len(r.Images)
			made[c.sum] = at
			r.Images = append(r.Images, *c.out)
		}
		r.Keys = append(r.Keys, Key{Name: c.out.Key, Image: at, Checksum: c.sum})
	}
	r.Warnings = unique(r.Warnings)
	return nil
}

// wantedImages are those that the stack asks for; where it asks for none, one
// is made all the same unless ZenML is followed to the letter.
func (r *resolution) wantedImages() []zenml.Image {
	wanted := r.stack.Images(r.config, r.steps, r.o.Dynamic, r.facts)
	if len(wanted) > 0 {
		return wanted
	}
	if r.o.Compat {
		r.warnf("the stack %s runs its steps without an image: there is nothing to build", r.stack.Name)
		return nil
	}
	r.warnf("the stack %s runs its steps without an image: this one is built since you ask for it", r.stack.Name)
	return zenml.Stack{}.Images(r.config, nil, true, r.facts)
}

// recipesOf finds what goes in all images, before any of them is looked at more
// closely, as ZenML does.
func (r *resolution) recipesOf(ctx context.Context, wanted []zenml.Image) ([]*recipe, error) {
	recipes := make([]*recipe, len(wanted))
	for i, image := range wanted {
		c := &recipe{resolution: r, image: image, docker: image.Docker, out: &Image{Key: image.MapKey(), StepEnv: map[string]string{}}}
		var err error
		if c.requirements, c.apt, err = c.packages(ctx); err != nil {
			return nil, err
		}
		if r.o.RequireHashes {
			if err := c.checkHashes(); err != nil {
				return nil, err
			}
			c.withHashes()
		}
		if c.sum, err = c.checksum(ctx); err != nil {
			return nil, err
		}
		recipes[i] = c
	}
	return recipes, nil
}

// checkStack refuses stacks that ZenML does not build for.
func (r *resolution) checkStack(wanted []zenml.Image) error {
	if !r.o.Compat {
		return nil
	}
	if !r.stack.HasImageBuilder() && isSet(r.o.Env["ZENML_SKIP_IMAGE_BUILDER_DEFAULT"]) {
		return &zenml.Error{File: r.o.Stack, Msg: "the stack has no image builder", Advice: "ZENML_SKIP_IMAGE_BUILDER_DEFAULT keeps ZenML from taking a local one"}
	}
	if isSet(r.o.Env["ZENML_SKIP_STACK_VALIDATION"]) || allSkip(wanted) {
		return nil
	}
	return r.stack.Validate()
}

// checkDownload refuses what ZenML refuses: settings that leave no way to the
// sources but a code repository, where there is none.
func (r *resolution) checkDownload() error {
	if !r.o.Compat || r.o.CodeRepository != "" || !r.facts.UploadsCode {
		return nil
	}
	steps := slices.Clone(r.steps)
	if r.o.Dynamic {
		steps = []zenml.Step{{Docker: r.config.Docker}}
	}
	for _, s := range steps {
		switch d := s.Docker; {
		case d.DownloadStore || d.Include:
			return nil
		case d.DownloadRepository:
			return d.Errorf("allow_download_from_code_repository", "--code-repository KIND says that there is one",
				"the sources can only come from a code repository, and there is none")
		}
	}
	return nil
}

// allSkip says whether no image is built at all.
func allSkip(images []zenml.Image) bool {
	return !slices.ContainsFunc(images, func(i zenml.Image) bool { return !i.Docker.Skip })
}

// isSet is how ZenML reads variables that are true or false.
func isSet(s string) bool {
	return slices.Contains([]string{"1", "y", "yes", "true", "on"}, strings.ToLower(s))
}

// unique drops all but the first of equal texts.
func unique(list []string) []string {
	seen := map[string]bool{}
	return slices.DeleteFunc(list, func(s string) bool {
		again := seen[s]
		seen[s] = true
		return again
	})
}

// checksum is ZenML's, of everything that its settings say of an image.
func (r *recipe) checksum(ctx context.Context) (string, error) {
	parts := []string{r.docker.JSON(), r.image.Entrypoint}
	for _, f := range r.image.Files {
		parts = append(parts, f, f)
	}
	for _, f := range r.requirements {
		parts = append(parts, f.content)
	}
	if r.docker.Dockerfile != "" {
		data, err := os.ReadFile(from(r.o.Dir, r.docker.Dockerfile))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", r.docker.Errorf("dockerfile", "", "the Dockerfile %s cannot be read: %v", r.docker.Dockerfile, err)
		}
		if err != nil {
			return "", r.docker.Errorf("dockerfile", "paths in settings are relative to the directory that kanso is started in",
				"Dockerfile %s does not exist", r.docker.Dockerfile)
		}
		parts = append(parts, string(data))
	}
	registry, _ := r.stack.Registry()
	if r.docker.ParentImage != "" && registry != "" && (!r.docker.Skip || !r.facts.AtLeast("0.96.4")) && r.o.ParentDigests {
		digest := r.bases.Digest(ctx, r.docker.ParentImage)
		if digest == "" {
			r.Warnings = append(r.Warnings, r.docker.Warnf("parent_image",
				"the digest of %s is not known: ZenML may take a build for this one that has another base", r.docker.ParentImage))
		}
		parts = append(parts, digest)
	}
	return zenml.Checksum(parts...), nil
}

// base is the base that the user names; empty is ZenML's own.
func (r *recipe) base() string { return cmp.Or(r.o.Base, r.docker.ParentImage) }

// baseOrDefault is the base that the user names, or ZenML's own.
func (r *recipe) baseOrDefault() string { return cmp.Or(r.base(), r.facts.Base(minor(r.Python))) }

// includes says whether the sources are put in the image.
func (r *recipe) includes() bool {
	switch {
	case r.docker.ProjectCommand != "":
		return true
	case r.o.Compat && r.fromRepository(), r.o.Compat && r.facts.UploadsCode && r.docker.DownloadStore:
		return false
	}
	return r.docker.Include
}

// fromRepository says whether ZenML fetches the sources from a code repository.
func (r *recipe) fromRepository() bool {
	return r.o.CodeRepository != "" && r.docker.DownloadRepository && r.docker.ProjectCommand == "" && r.facts.AtLeast("0.37.0")
}

// needed says whether anything is to be added to the base (zenml.md §4).
func (r *recipe) needed() bool {
	d := r.docker
	return len(d.Requirements) > 0 || d.RequirementsFile != "" || d.Pyproject != "" || len(d.Integrations) > 0 || d.Replicate != "" ||
		d.StackPackages || d.ProjectCommand != "" || len(d.Apt) > 0 || len(d.Environment) > 0 || r.includes() ||
		r.image.Entrypoint != "" || len(r.image.Files) > 0 || len(r.image.Server) > 0 ||
		len(r.o.Requirements)+len(r.o.Integrations)+len(r.o.Apt) > 0
}

// make decides what goes in the image.
func (r *recipe) make(ctx context.Context) (err error) {
	registry, repository := r.repository(r.docker)
	tag := r.tag(r.image)
	if tag != "" {
		r.out.Names = []string{registry + repository + ":" + tag}
	}
	base := r.baseOrDefault()
	r.out.ContainsCode = r.includes()
	r.out.DownloadsCode = !r.out.ContainsCode && (r.fromRepository() || r.facts.UploadsCode && r.docker.DownloadStore && r.docker.ProjectCommand == "")
	if r.docker.Skip {
		r.out.Untouched = true
		r.out.Plan = plan.Plan{Stages: []plan.Stage{{Base: base, Platform: r.o.Platform}}}
		return nil
	}
	needed := r.needed()
	if !needed && r.docker.Dockerfile == "" && base == r.facts.Base(minor(r.Python)) {
		return r.docker.Errorf("install_stack_requirements", "name a parent_image, or let something be installed or copied",
			"nothing would be added to ZenML's own image, and ZenML refuses to use it as it is")
	}
	if r.docker.Dockerfile != "" {
		if base, err = r.ownDockerfile(ctx, base, registry, repository, tag, needed); err != nil {
			return err
		}
	}
	stage := plan.Stage{Base: base, Platform: r.platform()}
	if r.own == nil {
		r.bases.Expect(ctx, stage.Base, stage.Platform)
	}
	if r.own != nil {
		r.out.Plan = *r.own
	}
	if needed {
		if r.own != nil {
			stage = r.onOwn()
		}
		r.mainOptions()
		if stage.Steps, err = r.add(ctx, stage, base); err != nil {
			return err
		}
	}
	if needed || r.own == nil {
		r.out.Plan.Stages = append(r.out.Plan.Stages, stage)
	}
	return nil
}

// add decides what is added to the base, which ZenML calls base.
func (r *recipe) add(ctx context.Context, stage plan.Stage, base string) ([]plan.Step, error) {
	switch {
	case r.out.ContainsCode:
		var err error
		if r.sources, err = r.files(ctx, r.docker); err != nil {
			return nil, err
		}
	case !r.o.Compat:
		r.warnf("the sources stay out: allow_including_files_in_images is false")
	}
	r.warnOfPython()
	if r.image.Step == "" || r.Files.Root == "" {
		r.Files = r.sources
		r.Files.Root = r.Context
	}
	if err := r.handOver(base); err != nil {
		return nil, err
	}
	var contents []string
	for _, f := range r.requirements {
		contents = append(contents, f.content)
	}
	r.out.Requirements = strings.Join(contents, "\n")
	for _, name := range r.image.Files {
		r.warnf("%s is a file of the installed ZenML: the image for %s has to get it in another way", name, r.out.Key)
	}
	return r.planSteps(ctx, stage)
}

// platform is the one that is wanted: by the user, or by build options.
func (r *recipe) platform() string {
	if r.o.Platform != "" {
		return r.o.Platform
	}
	platform, _ := r.docker.Build.Option("platform")
	return platform
}
