package oci

import "slices"

// basesOf are the images that stages stand on or have files from, each once:
// first those of the stages, in their order, then others, in that of the steps.
// Nothing is no image.
func basesOf(states []*state) []Base {
	var list []Base
	add := func(b Base) {
		same := func(o Base) bool { return o.Ref == b.Ref && o.Digest == b.Digest }
		if b.Ref != Scratch && !slices.ContainsFunc(list, same) {
			list = append(list, b)
		}
	}
	for _, st := range states {
		add(st.base)
	}
	for _, st := range states {
		if st.course == nil || st.stage == nil {
			continue
		}
		for _, step := range st.stage.Steps {
			for _, from := range sources(step) {
				if b, ok := st.course.images.looked(from.Image, from.Platform); ok {
					add(b)
				}
			}
		}
	}
	return list
}

// looked returns an image that was looked up.
func (i *images) looked(ref, platform string) (Base, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	one := i.by[ref+" "+platform]
	if one == nil || one.st == nil {
		return Base{}, false
	}
	return one.st.base, true
}
