package zenml

import (
	"crypto/md5" //nolint:gosec // ZenML's checksum, which protects nothing
	"encoding/hex"
)

// defaultValues are ZenML 0.98's settings of who says nothing. All but
// prevent_build_reuse are part of checksums (zenml.md §15).
func defaultValues() map[string]any {
	return map[string]any{
		"parent_image": nil, "image_tag": nil, "dockerfile": nil, "build_context_root": nil, "parent_image_build_config": nil,
		"skip_build": false, "target_repository": nil, "python_package_installer": UV,
		"python_package_installer_cache_mount": nil, "python_package_installer_args": map[string]any{},
		"disable_automatic_requirements_detection": true, "replicate_local_python_environment": nil, "pyproject_path": nil,
		"pyproject_export_command": nil, "requirements": nil, "required_integrations": []string{},
		"install_stack_requirements": true, "install_deployment_requirements": true, "local_project_install_command": nil,
		"apt_packages": []string{}, "environment": map[string]any{}, "runtime_environment": map[string]any{}, "user": nil,
		"build_config": nil, "allow_including_files_in_images": true, "allow_download_from_code_repository": true,
		"allow_download_from_artifact_store": true, "build_options": map[string]any{}, "dockerignore": nil, "copy_files": true,
		"copy_global_config": true, "source_files": nil, "required_hub_plugins": []string{},
	}
}

// JSON is what ZenML hashes of the settings: all but prevent_build_reuse, as
// Python writes JSON.
func (d Docker) JSON() string { return pyJSON(d.all()) }

// all are the values of all keys but prevent_build_reuse.
func (d Docker) all() map[string]any {
	all := defaultValues()
	for key, v := range d.values {
		if _, ok := all[key]; ok {
			all[key] = v
		}
	}
	all["build_config"], all["parent_image_build_config"] = d.Build.plain(), d.ParentBuild.plain()
	return all
}

func (c BuildConfig) plain() any {
	if !c.given {
		return nil
	}
	m := map[string]any{"dockerignore": nil, "build_options": nil}
	if c.Dockerignore != "" {
		m["dockerignore"] = c.Dockerignore
	}
	if c.hasOptions {
		options := map[string]any{}
		for _, name := range buildOptions {
			options[name] = nil
		}
		for _, o := range c.Options {
			options[o.Name] = o.Value.plain()
		}
		m["build_options"] = options
	}
	return m
}

// Checksum is the MD5 sum of texts that are written one after the other, in
// hexadecimal: the sum of an image's settings, of a build or of a stack.
func Checksum(texts ...string) string {
	h := md5.New() //nolint:gosec // as above
	for _, t := range texts {
		h.Write([]byte(t))
	}
	return hex.EncodeToString(h.Sum(nil))
}
