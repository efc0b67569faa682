"""Prints, as one line of JSON, what ZenML itself makes of a pipeline in Python.

Arguments: FILE:NAME of the pipeline, the source root, and a run configuration or nothing. ZenML compiles the pipeline;
nothing is registered, uploaded or run.
"""
import importlib.util
import json
import os
import shutil
import sys
import tempfile

# What modules print while they are imported goes to stderr: stdout is for the answer.
answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)
sys.stdout = sys.stderr


scratch = tempfile.mkdtemp(prefix="kanso-")


def finish(result):
    answer.write(json.dumps(result, ensure_ascii=False) + "\n")
    answer.close()
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(0)  # whatever threads ZenML has


def fail(message):
    finish({"error": message})


def load(source):
    file, _, name = source.rpartition(":")
    file = os.path.abspath(file)
    if not os.path.isfile(file):
        fail("%s does not exist" % file)
    sys.path.insert(0, os.path.dirname(file))
    sys.path.insert(0, os.environ["ZENML_CUSTOM_SOURCE_ROOT"])
    module_name = os.path.splitext(os.path.basename(file))[0]
    spec = importlib.util.spec_from_file_location(module_name, file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    found = module
    for part in name.split("."):
        if not hasattr(found, part):
            fail("%s has no %s" % (file, name))
        found = getattr(found, part)
    return found


def plain(model, **options):
    """A pydantic model, of version 1 or 2, in types of JSON."""
    if isinstance(model, dict):
        return json.loads(json.dumps(model, default=str))
    if hasattr(model, "model_dump"):
        return model.model_dump(mode="json", **options)
    return json.loads(model.json(**options))


def docker(configuration):
    settings = configuration.settings.get("docker")
    return {} if settings is None else plain(settings, exclude_unset=True)


def of_decorator(pipeline):
    """What the decorators of ZenML 0.10 to 0.13 were told."""
    settings = {}
    own = getattr(pipeline, "docker_configuration", None)
    if own is not None:
        settings = plain(own, exclude_unset=True)
    for key, attribute in (
        ("required_integrations", "required_integrations"),
        ("requirements", "requirements"),
        ("dockerignore", "dockerignore_file"),
    ):
        value = getattr(pipeline, attribute, None)
        if value and key not in settings:
            settings[key] = value if isinstance(value, str) else sorted(str(v) for v in value)
    steps = [{"name": name, "docker": {}} for name in getattr(pipeline, "steps", {}) or {}]
    return {"pipeline": pipeline.name, "docker": settings, "steps": steps}


class Compiled(BaseException):
    """Ends a run as soon as ZenML has compiled the pipeline: before anything is registered, uploaded or built."""


def compiled_by_run(pipeline):
    """The pipeline as ZenML compiles it when it is run, with the arguments of its with_options."""

    def stop(*args, **kwargs):
        raise Compiled(own(*args, **kwargs)[0])

    own, pipeline._compile = pipeline._compile, stop
    for name in ("_create_snapshot", "_create_deployment", "_run"):  # from 0.9x, 0.82, 0.40 on
        run = getattr(pipeline, name, None)
        if run is not None:
            try:
                run(**(getattr(pipeline, "_run_args", None) or {}))
            except Compiled as e:
                return e.args[0]
            break
    fail("this version of ZenML does not compile pipelines in a way that is known")


def compiled(pipeline, config):
    if hasattr(pipeline, "_compile"):
        if config:
            pipeline = pipeline.with_options(config_path=config)
        if hasattr(pipeline, "_prepare_if_possible"):
            pipeline._prepare_if_possible()
        snapshot = compiled_by_run(pipeline)
    else:
        from zenml.client import Client
        from zenml.config.compiler import Compiler
        from zenml.config.pipeline_configurations import PipelineRunConfiguration

        run = PipelineRunConfiguration.from_yaml(config) if config else PipelineRunConfiguration()
        snapshot = Compiler().compile(pipeline=pipeline, stack=Client().active_stack, run_configuration=run)
    whole = getattr(snapshot, "pipeline_configuration", None) or snapshot.pipeline
    steps = getattr(snapshot, "step_configurations", None) or snapshot.steps
    result = {"pipeline": whole.name, "docker": docker(whole), "dynamic": bool(getattr(snapshot, "is_dynamic", False)), "steps": []}
    for name, step in steps.items():
        result["steps"].append(
            {
                "name": name,
                "docker": docker(step.config),
                "step_operator": getattr(step.config, "step_operator", None),
                "seldon": (getattr(step.config, "extra", None) or {}).get("seldon_custom_deployment") is True,
            }
        )
    return result


def active_stack():
    """The active stack in the form of an export, without anything that may be secret."""
    from zenml.client import Client

    stack = Client().active_stack
    components = getattr(stack, "all_components", None)
    if components is None:
        components = stack.components.values()
    exported = {}
    for c in components:
        configuration = plain(c.config, exclude_unset=True)
        keep = {k: configuration[k] for k in ("uri", "default_repository", "local") if configuration.get(k) is not None}
        kind = str(getattr(c.type, "value", c.type))
        exported.setdefault(kind, []).append({"name": c.name, "flavor": c.flavor, "type": kind, "configuration": keep})
    return {"stack_name": stack.name, "components": exported}


def main():
    source, root, config = sys.argv[1:4]
    os.environ["ZENML_CUSTOM_SOURCE_ROOT"] = root
    os.environ["ZENML_ANALYTICS_OPT_IN"] = "false"
    if os.path.isdir(os.path.join(root, ".zen")):
        # ZenML writes into its repository; it gets a copy.
        shutil.copytree(os.path.join(root, ".zen"), os.path.join(scratch, ".zen"))
        os.environ["ZENML_REPOSITORY_PATH"] = scratch
    try:
        import zenml
    except ImportError as e:
        fail("this Python has no ZenML: %s" % e)
    try:
        pipeline = load(source)
        old = not (hasattr(pipeline, "configuration") or hasattr(pipeline, "_configuration"))
        if old and callable(pipeline):
            fail("%s is no pipeline" % source) if not isinstance(pipeline, type) else None
        result = of_decorator(pipeline) if old else compiled(pipeline, config)
        result["zenml_version"] = zenml.__version__
        result["python_version"] = ".".join(str(n) for n in sys.version_info[:3])
        if not old:
            result["stack"] = dict(active_stack(), zenml_version=zenml.__version__)
    except Exception as e:  # ZenML's own message, and its causes
        causes = []
        while e is not None:
            causes.append("%s: %s" % (type(e).__name__, e))
            e = e.__cause__ or e.__context__
        fail("; ".join(causes))
    finish(result)


main()
