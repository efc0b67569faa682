#!/usr/bin/env python3
"""Runs ZenML itself on cases and writes what it made of them: record_cases.py [--check] CASE...

A CASE is a directory with case.json, run.yaml and stack.yaml, as cases/README.md says; expected/ and the fields of case.json
that ZenML decides (error, source_root, builds) are written, with --check compared instead. It needs an interpreter that has
ZenML ("zenml[local]==0.98.0") and nothing else: libraries of integrations that are not there are stood in for, so that
components can be made; nobody calls them. The container engine and build() of image builders are the only things replaced.
"""
import contextlib
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import traceback
import types



class Anything(type):
    """The class of classes that have every attribute."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything(name, (), {"__get_pydantic_core_schema__": classmethod(any_schema), "__init__": lambda self, *a, **k: None})

    def __or__(cls, other):
        return object

    __ror__ = __or__

    def __add__(cls, other):
        return other

    __radd__ = __add__

    def __getitem__(cls, key):
        return cls

    def __ge__(cls, other):
        return True

    def __iter__(cls):
        return iter(())

    def __call__(cls, *args, **kwargs):
        if len(args) == 1 and not kwargs and callable(args[0]) and not isinstance(args[0], type):
            return args[0]  # a decorator
        return super().__call__(*args, **kwargs)


def any_schema(cls, source, handler):
    from pydantic_core import core_schema

    return core_schema.any_schema()


class StandIn(types.ModuleType):
    """A library that is not installed."""

    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(Anything("module", (), {}), name)


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds libraries that only integrations import."""

    def find_spec(self, name, path=None, target=None):
        frame = sys._getframe(1)
        while frame.f_globals.get("__name__", "").startswith("importlib"):
            frame = frame.f_back
        importer = frame.f_globals.get("__name__", "")
        if name.startswith("zenml") or not importer.startswith("zenml.integrations") and not isinstance(sys.modules.get(name.rpartition(".")[0]), StandIn):
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return StandIn(spec.name)

    def exec_module(self, module):
        pass


def kubeconfig(stack, file):
    """A kubectl's configuration that knows the contexts of a stack; that of a Kubernetes orchestrator is the active one."""
    with open(stack) as f:
        text = f.read()
    names = sorted({"eks", *re.findall(r"kubernetes_context: *(\S+)", text)})
    active = re.findall(r"kubernetes_context: *(\S+)(?:\n +kubernetes_namespace.*)?(?:\n +\w+: \w+)*\n +flavor: kubernetes", text) + ["eks"]
    contexts = [{"name": n, "context": {"cluster": "c", "user": "u"}} for n in names]
    config = {"apiVersion": "v1", "kind": "Config", "current-context": active[0], "contexts": contexts,
              "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}], "users": [{"name": "u", "user": {}}]}
    with open(file, "w") as f:
        json.dump(config, f)  # JSON is YAML, too


def materialise(case, root):
    for f in case["files"]:
        path = os.path.join(root, f["path"])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if f["type"] == "dir":
            os.makedirs(path, exist_ok=True)
        elif f["type"] == "symlink":
            os.symlink(f["target"], path)
        elif f["type"] == "hardlink":
            os.link(os.path.join(root, f["target"]), path)
        elif f["type"] == "fifo":
            os.mkfifo(path)
        else:
            with open(path, "w", encoding="utf-8", newline="") as out:
                out.write(f.get("content", ""))
        if f["type"] in ("file", "fifo"):
            os.chmod(path, int(f.get("mode", "0644"), 8))
    for f in reversed(case["files"]):
        if f["type"] == "dir":
            os.chmod(os.path.join(root, f["path"]), int(f.get("mode", "0755"), 8))


def members(context):
    """The members of a build context, and the texts of those that ZenML made."""
    generated = context.get_extra_files()
    listed, names = [], {}
    with tempfile.NamedTemporaryFile() as f:
        context.write_archive(f)
        f.seek(0)
        with tarfile.open(fileobj=f) as archive:
            for m in archive.getmembers():
                entry = {"path": m.name, "mode": "%04o" % (m.mode & 0o7777)}
                if m.name in generated:
                    entry.update(type="file", generated=True)
                elif m.isdir():
                    entry["type"] = "dir"
                elif m.issym():
                    entry.update(type="symlink", target=m.linkname)
                elif m.isfifo():
                    entry["type"] = "fifo"
                elif m.islnk():
                    entry.update(type="hardlink", target=m.linkname)
                else:
                    data = archive.extractfile(m).read()
                    if m.name == ".zen/config.yaml":  # ZenML's own
                        entry["type"] = "file"
                        listed.append(entry)
                        continue
                    entry.update(type="file", size=len(data), sha256=hashlib.sha256(data).hexdigest())
                listed.append(entry)
    for entry in listed:  # of a group of hard links the first name is the file
        if entry["type"] in ("file", "hardlink") and not entry.get("generated"):
            names.setdefault(entry.get("target", entry["path"]), []).append(entry)
    for first, group in names.items():
        if len(group) > 1:
            group.sort(key=lambda e: e["path"].encode())
            content = next(e for e in group if e["type"] == "file" and "size" in e)
            size, digest = content["size"], content["sha256"]
            for e in group:
                e.pop("size", None), e.pop("sha256", None), e.pop("target", None)
                e.update({"type": "file", "size": size, "sha256": digest} if e is group[0] else {"type": "hardlink", "target": group[0]["path"]})
    fields = ("path", "type", "mode", "target", "size", "sha256", "generated")
    listed = [{k: e[k] for k in fields if k in e} for e in listed]
    return sorted(listed, key=lambda e: e["path"].encode()), generated


class Recorder:
    """What ZenML asked for."""

    def __init__(self, case, expected):
        self.case, self.expected = case, expected
        self.builds, self.calls, self.messages = [], [], []

    def build(self, builder, image_name, build_context, docker_build_options=None, container_registry=None):
        name = "b%02d" % len(self.builds)
        options = docker_build_options.model_dump(mode="json", exclude_none=True) if docker_build_options else {}
        words = docker_build_options.to_docker_cli_options() if docker_build_options else []
        if container_registry and builder.flavor == "local":
            builder._check_registry_image(image_name, container_registry)
        self.builds.append({
            "image_name": image_name, "image_builder_flavor": builder.flavor, "push": container_registry is not None,
            "build_options": options, "build_options_as_docker_cli": words, "dir": name,
        })
        listed, generated = members(build_context)
        self.write(name + "/context.json", listed)
        os.makedirs(os.path.join(self.expected, name, "files"))
        for path, text in generated.items():
            with open(os.path.join(self.expected, name, "files", path), "w", encoding="utf-8", newline="") as f:
                f.write(text)
        digest = hashlib.sha256(image_name.encode()).hexdigest()
        return image_name.rsplit(":", 1)[0] + "@sha256:" + digest if container_registry else image_name

    def replace_engine(self):
        from zenml.container_engines import docker_engine, podman_engine

        recorder, case = self, self.case

        def tag(engine, source, target):
            recorder.calls.append(["tag", source, target])

        def push(engine, image_name, container_registry=None):
            recorder.calls.append(["push", image_name])
            return image_name.rsplit(":", 1)[0] + "@sha256:" + hashlib.sha256(image_name.encode()).hexdigest()

        def is_local(engine, image_name):
            recorder.calls.append(["is_image_local", image_name])
            return image_name in case["local_images"]

        def digest(engine, image_name, container_registry=None):
            recorder.calls.append(["get_image_repo_digest", image_name])
            return case["registry_digests"].get(image_name)

        for cls in (docker_engine.DockerContainerEngine, podman_engine.PodmanContainerEngine):
            cls.check_availability = lambda engine: (True, None)
            cls.tag_image, cls.push_image, cls.is_image_local, cls.get_image_repo_digest = tag, push, is_local, digest

    def replace_builders(self):
        from zenml.image_builders import BaseImageBuilder
        import zenml.image_builders.local_image_builder as local

        classes, recorder = {local.LocalImageBuilder}, self
        for module in ("kaniko", "aws", "gcp"):
            with contextlib.suppress(ImportError):
                package = importlib.import_module("zenml.integrations.%s.image_builders" % module)
                classes.update(c for c in vars(package).values() if isinstance(c, type) and issubclass(c, BaseImageBuilder))

        for cls in classes:
            cls.build = lambda builder, *a, **k: recorder.build(builder, *a, **k)

    def listen(self):
        recorder = self

        class Listener(logging.Handler):
            def emit(self, record):
                text = record.getMessage()
                if record.levelno >= logging.WARNING and text not in recorder.messages:
                    recorder.messages.append(text)

        logging.getLogger("zenml").addHandler(Listener())
        logging.getLogger().addHandler(Listener())

    def write(self, name, value):
        path = os.path.join(self.expected, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            json.dump(value, f, indent=1)


def register(stack_file):
    """Registers the stack of an export, and makes it the active one."""
    import yaml
    from zenml.client import Client
    from zenml.enums import StackComponentType

    with open(stack_file) as f:
        export = yaml.safe_load(f)
    client, components = Client(), {}
    secrets = {}
    for secret, key in re.findall(r"\{\{\s*([^.}\s]+)\.([^.}\s]+)\s*\}\}", json.dumps(export)):
        secrets.setdefault(secret, {})[key] = "x"
    for secret, values in secrets.items():
        client.create_secret(secret, values)
    for kind, items in export["components"].items():
        for item in items if isinstance(items, list) else [items]:
            kinds = StackComponentType(kind)
            if item["name"] == "default":
                component = client.get_stack_component(kinds, "default")
            else:
                component = client.create_stack_component(
                    name=item["name"], flavor=item["flavor"], component_type=kinds, configuration=item.get("configuration") or {})
            components.setdefault(kinds, []).append(component.id)
    if export["stack_name"] == "default":
        stack = client.get_stack("default")
    else:
        stack = client.create_stack(name=export["stack_name"], components={k: v for k, v in components.items()})
    client.activate_stack(stack.id)
    return stack


# Messages about this machine and not about the project.
UNRELATED = ("Unable to autoconfigure", "not installed", "analytics", "zenml connect", "local stack")


def run(directory, expected):
    """Runs one case in this process."""
    with open(os.path.join(directory, "case.json")) as f:
        case = json.load(f)
    work = os.environ["RECORD_WORK"]
    root, tools = os.path.join(work, "p"), os.path.join(work, "tools")
    os.mkdir(root), os.mkdir(tools)
    materialise(case, root)
    for name, script in case["tools"].items():
        with open(os.path.join(tools, name), "w") as f:
            f.write(script)
        os.chmod(os.path.join(tools, name), 0o755)
    path = os.path.join(work, "bin")  # what validators of stacks ask for
    os.mkdir(path)
    for name in ("kubectl", "docker"):
        os.symlink("/bin/true", os.path.join(path, name))
    os.environ["PATH"] += ":" + path
    os.environ["KUBECONFIG"] = os.path.join(work, "kubeconfig")
    kubeconfig(os.path.join(directory, "stack.yaml"), os.environ["KUBECONFIG"])
    with contextlib.suppress(ImportError):  # read when it is imported
        import kubernetes.config.kube_config

        kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION = os.environ["KUBECONFIG"]
    for key, value in case["env"].items():
        os.environ[key] = value.replace("{ROOT}", root)
    os.environ["PATH"] = tools + ":" + os.environ["PATH"]
    os.environ["RUN_YAML"] = os.path.abspath(os.path.join(directory, "run.yaml"))
    os.chdir(root)

    recorder = Recorder(case, expected)
    stack = register(os.path.join(directory, "stack.yaml"))
    from zenml.utils import yaml_utils
    import zenml

    export = dict(stack.to_yaml(), zenml_version=zenml.__version__)
    with open(os.path.join(directory, "stack.yaml"), "w" if not os.environ.get("RECORD_CHECK") else "r") as f:
        if not os.environ.get("RECORD_CHECK"):
            import yaml

            yaml.dump(export, f, default_flow_style=False)
    from zenml.client import Client

    os.chdir(os.path.join(root, case["cwd"]))
    Client._reset_instance() if hasattr(Client, "_reset_instance") else None
    Client().activate_stack(stack.id)
    recorder.replace_engine(), recorder.replace_builders(), recorder.listen()
    from zenml.utils import source_utils
    from zenml.zen_stores.sql_zen_store import SqlZenStore

    def plain(text):
        return str(text).replace(root, "{ROOT}").replace(os.path.abspath(directory), "{CASE}")

    error, found, created, create = None, None, [], SqlZenStore.create_build

    def keep(store, build):
        created.append(build)
        return create(store, build)

    SqlZenStore.create_build = keep
    sys.argv, sys.path[0] = [case["main"]], os.path.dirname(os.path.abspath(case["main"]))
    try:
        main = types.ModuleType("__main__")
        main.__file__ = os.path.abspath(case["main"])
        sys.modules["__main__"] = main
        with open(main.__file__) as f:
            code = compile(f.read(), main.__file__, "exec")
        try:
            exec(code, main.__dict__)
        finally:
            try:
                found = source_utils.get_source_root()
            except Exception:
                found = None
    except Exception as e:
        if os.environ.get("RECORD_DEBUG"):
            traceback.print_exc()
        causes, at = [], e
        while at := at.__cause__ or (None if at.__suppress_context__ else at.__context__):
            causes.append({"type": type(at).__name__, "message": plain(at)})
        error = {"type": type(e).__name__, "message": plain(e), "causes": causes}
    record = None
    if created and not error:
        b = created[-1]
        record = {
            "images": {k: {
                "image": i.image, "settings_checksum": i.settings_checksum, "contains_code": i.contains_code,
                "requires_code_download": i.requires_code_download, "dockerfile": i.dockerfile, "requirements": i.requirements,
            } for k, i in b.images.items()},
            "is_local": b.is_local, "contains_code": b.contains_code, "zenml_version": b.zenml_version,
            "python_version": b.python_version, "checksum": b.checksum, "stack_checksum": b.stack_checksum,
        }
    recorder.write("builds.json", recorder.builds)
    recorder.write("record.json", record)
    recorder.write("engine_calls.json", recorder.calls)
    recorder.write("warnings.json", [plain(m) for m in recorder.messages if not any(u in m for u in UNRELATED)])
    case.update(error=error, source_root=found and plain(found), builds=len(recorder.builds))
    with open(os.path.join(expected, "case.json"), "w") as f:
        json.dump(case, f, indent=1)


def template():
    """A configuration directory with a fresh local store, once per work."""
    directory = os.environ["RECORD_TEMPLATE"]
    if not os.path.exists(directory):
        os.makedirs(directory)
        env = dict(os.environ, ZENML_CONFIG_PATH=directory)
        subprocess.run([sys.executable, "-c", "from zenml.client import Client; Client().active_stack_model"], env=env, check=True, capture_output=True)
    return directory


def in_child(directory, expected, env, log):
    """Runs a case in a child of this process, which has ZenML imported already; says whether that failed."""
    if pid := os.fork():
        return os.waitpid(pid, 0)[1] != 0
    status = 1
    try:
        out = os.open(log, os.O_WRONLY | os.O_CREAT)
        os.dup2(out, 1), os.dup2(out, 2)
        os.environ.update(env)
        custom = env.get("ZENML_CUSTOM_SOURCE_ROOT")
        if custom:  # ZenML reads it when it is imported
            from zenml.utils import source_utils

            source_utils.set_custom_source_root(custom)
        run(directory, expected)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(status)


def one(directory, check):
    work = tempfile.mkdtemp()
    expected = os.path.join(work, "expected")
    os.mkdir(expected)
    try:
        with open(os.path.join(directory, "case.json")) as f:
            given = json.load(f)
        shutil.copytree(template(), os.path.join(work, "config"))
        with open(os.path.join(work, "config", "config.yaml")) as f:
            text = f.read().replace(os.environ["RECORD_TEMPLATE"], os.path.join(work, "config"))
        with open(os.path.join(work, "config", "config.yaml"), "w") as f:
            f.write(text)
        env = {k: v.replace("{ROOT}", os.path.join(work, "p")) for k, v in given["env"].items()}
        env.update(RECORD_WORK=work, ZENML_CONFIG_PATH=os.path.join(work, "config"))
        if check:
            env["RECORD_CHECK"] = "1"
        failed = in_child(directory, expected, env, os.path.join(work, "log"))
        with open(os.path.join(work, "log")) as f:
            log = f.read()
        if os.environ.get("RECORD_DEBUG"):
            print(log)
        if failed:
            return "broken: " + log[-3000:]
        with open(os.path.join(expected, "case.json")) as f:
            case = json.load(f)
        os.unlink(os.path.join(expected, "case.json"))
        if not check:
            shutil.rmtree(os.path.join(directory, "expected"), ignore_errors=True)
            shutil.copytree(expected, os.path.join(directory, "expected"))
            with open(os.path.join(directory, "case.json"), "w") as f:
                json.dump(case, f, indent=1)
                f.write("\n")
            return "%d builds, %s" % (case["builds"], case["error"] and case["error"]["type"])
        differs = [k for k in ("error", "source_root", "builds") if case[k] != given[k]]
        text = "" if not differs else "".join("\n%s:\n - %s\n + %s" % (k, given[k], case[k]) for k in differs)
        diff = subprocess.run(["diff", "-r", "-u", os.path.join(directory, "expected"), expected], capture_output=True, text=True)
        return "equal" if not text and not diff.returncode else text + diff.stdout
    finally:
        shutil.rmtree(work, ignore_errors=True)


def main():
    check = sys.argv[1] == "--check"
    os.environ.setdefault("RECORD_TEMPLATE", os.path.join(tempfile.gettempdir(), "record-cases-%d" % os.getpid()))
    os.environ.update(ZENML_ANALYTICS_OPT_IN="false", TZ="UTC", LC_ALL="C.UTF-8", PYTHONHASHSEED="0")
    template()
    sys.meta_path.append(StandIns())
    for name in ("zenml.client", "zenml.pipelines.pipeline_definition", "zenml.integrations.kubernetes.orchestrators", "zenml.zen_stores.sql_zen_store"):
        importlib.import_module(name)
    bad = 0
    for directory in sys.argv[1 + check:]:
        answer = one(os.path.abspath(directory), check)
        bad += answer.startswith(("broken", "\n", "diff", "Only"))
        print(os.path.basename(os.path.normpath(directory)), answer, flush=True)
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
