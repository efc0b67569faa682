package zenml

import "slices"

// An Image is one that a stack needs, for all steps that have the pipeline's
// settings or for one step.
type Image struct {
	// Key is that of the component that asks for it.
	Key string
	// Step is empty for an image of the whole pipeline.
	Step   string
	Docker Docker
	// Server are requirements that the image needs to serve the pipeline.
	Server []string
	// Entrypoint is a shell command; empty leaves the base's.
	Entrypoint string
	// Files are names of ZenML's own files that the image needs beside the
	// sources.
	Files []string
}

// MapKey is what the image is called in a record of a build.
func (i Image) MapKey() string {
	if i.Step == "" {
		return i.Key
	}
	return i.Step + "." + i.Key
}

// orchestratorKey is the key of images that an orchestrator asks for.
const orchestratorKey = "orchestrator"

// uncontained are the flavors of orchestrators that run steps without an image.
var uncontained = []string{"local", "databricks", "lightning"} //nolint:gochecknoglobals // a constant table

// operatorKeys are the keys of images that step operators ask for, by flavor.
var operatorKeys = map[string]string{ //nolint:gochecknoglobals // a constant table
	"sagemaker": "sagemaker_step_operator", "vertex": "vertex_step_operator", "azureml": "azureml_step_operator",
	"kubernetes": "kubernetes_step_operator", "modal": "modal_step_operator", "spark": "spark_step_operator",
	"spark-kubernetes": "spark_step_operator", "runai": "runai_step_operator", "ssh": "ssh_step_operator",
	"baseten": "baseten_step_operator",
}

// containedDeployers are the flavors of deployers that serve pipelines from an
// image.
var containedDeployers = []string{"docker", "aws", "gcp", "kubernetes", "huggingface"} //nolint:gochecknoglobals // a constant table

// serverRequirements are what ZenML's own server for pipelines needs.
var serverRequirements = []string{"Jinja2", "asgiref~=3.10.0", "fastapi", "secure~=1.0.1", "uvicorn"} //nolint:gochecknoglobals // a constant table

// Images returns the images that a stack needs for the steps of a pipeline, in
// the order in which ZenML makes them (zenml.md §3, zenml-0.98.md §3). A stack
// without components needs one image, as for an orchestrator that runs
// containers. Steps of a dynamic pipeline are not known before it runs.
func (s Stack) Images(c RunConfig, steps []Step, dynamic bool, f Facts) []Image {
	pipeline, always := c.Docker, c.AlwaysWhole(s)
	if len(s.Components) == 0 {
		return orchestrated(pipeline, steps, dynamic, always, f)
	}
	var images []Image
	for _, c := range s.Components {
		switch c.Type {
		case "orchestrator":
			if !slices.Contains(uncontained, c.Flavor) {
				images = append(images, orchestrated(pipeline, steps, dynamic, always, f)...)
			}
		case "step_operator":
			images = append(images, c.operated(steps, dynamic, f)...)
		case "model_deployer":
			for _, step := range steps {
				if c.Flavor == "seldon" && step.Seldon {
					images = append(images, Image{Key: "seldon_model_deployer", Step: step.Name, Docker: step.Docker})
				}
			}
		case "deployer":
			if f.Deployers && slices.Contains(containedDeployers, c.Flavor) && pipeline.ServerPackages {
				images = append(images, Image{Key: "deployer", Docker: pipeline, Server: serverRequirements})
			}
		}
	}
	return images
}

// orchestrated are the images of an orchestrator.
func orchestrated(pipeline Docker, steps []Step, dynamic, always bool, f Facts) []Image {
	whole := Image{Key: orchestratorKey, Docker: pipeline}
	var images []Image
	shared := false
	same := pipeline.identity()
	if dynamic {
		steps = nil
	}
	for _, step := range steps {
		switch {
		case step.Docker.identity() != same:
			images = append(images, Image{Key: orchestratorKey, Step: step.Name, Docker: step.Docker})
		case !shared:
			shared = true
			images = append(images, whole)
		}
	}
	if !shared && (always || dynamic || len(steps) == 0 || pipeline.Skip && f.AtLeast("0.96.2")) {
		images = append(images, whole)
	}
	return images
}

// operated are the images of a step operator.
func (c Component) operated(steps []Step, dynamic bool, f Facts) []Image {
	key, ok := operatorKeys[c.Flavor]
	if !ok || dynamic {
		return nil
	}
	var images []Image
	for _, step := range steps {
		if !step.AnyOperator && step.Operator != c.Name {
			continue
		}
		i := Image{Key: key, Step: step.Name, Docker: step.Docker}
		if key == "spark_step_operator" {
			i.Files = []string{"zenml_spark_entrypoint.py"}
		}
		if c.Flavor == "sagemaker" && f.Entrypoints {
			i.Entrypoint = "$__ZENML_ENTRYPOINT"
		}
		images = append(images, i)
	}
	return images
}
