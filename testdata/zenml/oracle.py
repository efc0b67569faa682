"""Writes what ZenML itself would have handed to Docker for a pipeline, in the form of kanso plan --dockerfile.

    python oracle.py FILE:NAME CONFIG DIR

It runs with the Python of an environment that has ZenML, in the project, with the client's active stack. The pipeline is
run in the ordinary way; only the ends of the chain are replaced: the local image builder writes down the context that it is
given, and no step is started. CONFIG is a run configuration or empty.
"""

import hashlib
import importlib
import json
import os
import sys
import tarfile
import tempfile

from zenml.image_builders import LocalImageBuilder
from zenml.stack import Stack


def member(archive, info, generated):
    kind = "dir" if info.isdir() else "symlink" if info.issym() else "hardlink" if info.islnk() else "file"
    result = {"path": info.name, "type": kind, "mode": "%04o" % (info.mode & 0o7777)}
    if info.issym() or info.islnk():
        result["target"] = info.linkname
    if kind == "file":
        data = archive.extractfile(info).read()
        result.update(size=len(data), sha256=hashlib.sha256(data).hexdigest())
    if info.name in generated:
        result["generated"] = True
    return result


def extra_files(context):
    """What ZenML has written itself: by name, the text."""
    for name in ("_extra_files", "_archive_extra_files"):
        if hasattr(context, name):
            return dict(getattr(context, name))
    files = context.get_extra_files()
    return {name: text for name, text in files.items() if name != ".dockerignore"}


class Recorder:
    def __init__(self, out):
        self.out, self.builds = out, []

    def build(self, builder, image_name, build_context, docker_build_options=None, container_registry=None):
        directory = os.path.join(self.out, "b%02d" % len(self.builds))
        os.makedirs(os.path.join(directory, "files"))
        extra = extra_files(build_context)
        for name, text in extra.items():
            with open(os.path.join(directory, "files", name), "w", encoding="utf-8") as file:
                file.write(text)
        with tempfile.TemporaryFile() as file:
            build_context.write_archive(file)
            file.seek(0)
            with tarfile.open(fileobj=file) as archive:
                members = [member(archive, info, extra) for info in archive]
        write(os.path.join(directory, "context.json"), sorted(members, key=lambda m: m["path"].encode()))
        options = docker_build_options or {}
        if hasattr(options, "model_dump"):
            options = options.model_dump(exclude_none=True)
        self.builds.append({
            "image_name": image_name, "push": container_registry is not None, "build_options": options, "dir": os.path.basename(directory),
        })
        return image_name


def write(path, value):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, sort_keys=True)


def record(build):
    """ZenML's record without what the store adds."""
    if build is None:
        return None
    keep = ("image", "settings_checksum", "contains_code", "requires_code_download", "dockerfile", "requirements")
    images = {key: {k: getattr(item, k) for k in keep if hasattr(item, k)} for key, item in build.images.items()}
    whole = ("is_local", "contains_code", "zenml_version", "python_version", "checksum", "stack_checksum")
    return dict({k: getattr(build, k) for k in whole if hasattr(build, k)}, images=images)


class Ran(BaseException):
    """Ends a run where its steps would start."""


def stop(*args, **kwargs):
    raise Ran


def build_of(pipeline, recorder):
    """Runs the pipeline until its steps would start, and returns ZenML's record of the build."""
    for name in ("zenml.pipelines.build_utils", "zenml.new.pipelines.build_utils"):
        try:
            build_utils = importlib.import_module(name)
            break
        except ImportError:
            continue
    own, made = build_utils.create_pipeline_build, []

    def create(*args, **kwargs):
        made.append(own(*args, **kwargs))
        return made[-1]

    build_utils.create_pipeline_build = create
    LocalImageBuilder.build = lambda self, *args, **kwargs: recorder.build(self, *args, **kwargs)
    for name in ("deploy_pipeline", "submit_pipeline"):
        if hasattr(Stack, name):
            setattr(Stack, name, stop)
    try:
        pipeline()
    except Ran:
        return made[-1]
    raise SystemExit("the pipeline's steps would not have been started")


def main(source, config, out):
    file, _, name = source.partition(":")
    sys.path[:0] = [os.path.dirname(os.path.abspath(file)), os.getcwd()]
    pipeline = getattr(importlib.import_module(os.path.splitext(os.path.basename(file))[0]), name)
    os.makedirs(out)
    recorder = Recorder(out)
    if config:
        pipeline = pipeline.with_options(config_path=config)
    build = build_of(pipeline, recorder)
    write(os.path.join(out, "builds.json"), recorder.builds)
    write(os.path.join(out, "record.json"), record(build))


if __name__ == "__main__":
    main(*sys.argv[1:])
