package zenml

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// needRegistry are components that ZenML lets nobody use in a stack without a
// container registry, as "type/flavor".
var needRegistry = []string{ //nolint:gochecknoglobals // a constant table
	"orchestrator/airflow", "orchestrator/sagemaker", "orchestrator/azureml", "orchestrator/vertex", "orchestrator/hyperai",
	"orchestrator/kubeflow", "orchestrator/kubernetes", "orchestrator/tekton", "orchestrator/modal", "orchestrator/ssh",
	"orchestrator/vm_aws", "orchestrator/vm_gcp", "orchestrator/vm_azure", "orchestrator/vm_lambda", "orchestrator/vm_kubernetes",
	"step_operator/sagemaker", "step_operator/azureml", "step_operator/baseten", "step_operator/vertex", "step_operator/kubernetes",
	"step_operator/modal", "step_operator/runai", "step_operator/spark", "step_operator/spark-kubernetes", "step_operator/ssh",
	"image_builder/aws", "image_builder/gcp", "image_builder/kaniko",
	"deployer/aws", "deployer/gcp", "deployer/huggingface", "deployer/kubernetes",
}

// remoteOnly are orchestrators that no component on the client's machine goes
// with; noPaths those that no component goes with that keeps something in a
// directory of the client's machine.
var (
	remoteOnly = []string{"airflow", "sagemaker", "azureml", "databricks", "vm_aws", "vm_gcp", "vm_azure", "vm_lambda", "vm_kubernetes"}           //nolint:gochecknoglobals // a constant table
	noPaths    = []string{"orchestrator/kubernetes", "orchestrator/kubeflow", "orchestrator/tekton", "orchestrator/vertex", "deployer/kubernetes"} //nolint:gochecknoglobals // a constant table
)

// localRegistry is the address of a registry on the client's machine.
var localRegistry = regexp.MustCompile(`^localhost:[0-9]{4,5}$`)

// Validate refuses stacks that ZenML refuses to build for, as far as it says so
// of types, flavors and addresses.
func (s Stack) Validate() error {
	_, hasRegistry := s.first("container_registry")
	for _, c := range s.Components {
		what := c.Type + "/" + c.Flavor
		if what == "orchestrator/airflow" && !c.isFalse("local") {
			continue
		}
		if !hasRegistry && slices.Contains(needRegistry, what) {
			return s.invalid(c, "needs a container registry in the stack", "a registry is where the component gets images from")
		}
		if why := s.refuses(c, what); why != "" {
			return s.invalid(c, why, "")
		}
	}
	return nil
}

func (s Stack) invalid(c Component, why, advice string) error {
	return &Error{File: s.file, Line: c.line, Msg: fmt.Sprintf("components.%s: the stack cannot be built for: %s (%s) %s", c.Type, c.Name, c.Flavor, why), Advice: advice}
}

// refuses says why a component does not go with another; empty if it does.
func (s Stack) refuses(c Component, what string) string {
	registry, _ := s.first("container_registry")
	store, _ := s.first("artifact_store")
	noLocal := c.Type == "orchestrator" && slices.Contains(remoteOnly, c.Flavor) || what == "image_builder/kaniko" && c.isTrue("store_context_in_artifact_store")
	noPath := slices.Contains(noPaths, what) && !c.isTrue("local") && !c.isTrue("skip_local_validations")
	for _, other := range s.Components {
		if noLocal && other.isLocal() || noPath && other.hasLocalPath() {
			return fmt.Sprintf("cannot use the %s %s, which is on this machine", other.Type, other.Name)
		}
	}
	remote := c.Type == "step_operator" || what == "image_builder/kaniko" || what == "image_builder/gcp" || what == "orchestrator/modal"
	switch {
	case (remote || noPath) && registry.isLocal():
		return fmt.Sprintf("cannot use the container registry %s, which is on this machine", registry.Name)
	case (c.Type == "step_operator" || what == "orchestrator/modal") && store.isLocal():
		return fmt.Sprintf("cannot use the artifact store %s, which is on this machine", store.Name)
	case what == "image_builder/aws" && store.Flavor != "s3", what == "image_builder/gcp" && store.Flavor != "gcp",
		what == "orchestrator/vertex" && store.Flavor != "gcp" && c.Field("pipeline_root") == "":
		return "needs an artifact store of its own cloud"
	}
	return ""
}

// isLocal says whether a component is on the client's machine.
func (c Component) isLocal() bool {
	switch c.Type {
	case "artifact_store":
		return c.Flavor == "local"
	case "container_registry":
		return localRegistry.MatchString(strings.TrimRight(c.Field("uri"), "/"))
	case "deployer":
		return c.Flavor == "local" || c.Flavor == "docker"
	case "model_deployer":
		return c.Flavor == "mlflow"
	}
	return c.keepsRuns()
}

// hasLocalPath says whether a component keeps something in a directory of the
// client's machine.
func (c Component) hasLocalPath() bool {
	return c.Type == "artifact_store" && c.Flavor == "local" ||
		c.Type == "model_deployer" && slices.Contains([]string{"mlflow", "bentoml", "vllm"}, c.Flavor) || c.keepsRuns()
}

// keepsRuns says whether a component is an MLflow that tracks into a directory.
func (c Component) keepsRuns() bool {
	uri := c.Field("tracking_uri")
	return c.Type == "experiment_tracker" && c.Flavor == "mlflow" && (!strings.Contains(uri, "://") && uri != "databricks" || strings.HasPrefix(uri, "file:"))
}

// CheckOperators refuses steps whose step operator the stack does not have.
func (s Stack) CheckOperators(steps []Step) error {
	var names []string
	for _, c := range s.Components {
		if c.Type == "step_operator" {
			names = append(names, c.Name)
		}
	}
	for _, step := range steps {
		if len(s.Components) == 0 || step.Operator == "" && !step.AnyOperator || step.AnyOperator && len(names) > 0 || slices.Contains(names, step.Operator) {
			continue
		}
		e := &Error{File: step.Docker.settings.file, Msg: fmt.Sprintf("steps.%s.step_operator: the stack has no step operator %s", step.Name, step.Operator)}
		if near := nearest(step.Operator, names); near != "" {
			e.Advice = fmt.Sprintf("did you mean %s?", near)
		}
		if step.operatorLine > 0 {
			e.Line = step.operatorLine
		}
		return e
	}
	return nil
}
