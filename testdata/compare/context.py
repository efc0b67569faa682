"""Writes the build context of a project as ZenML itself would send it to Docker, the generated Dockerfile included.

    python context.py PROJECT OUT.tar

It runs in the base image, with the ZenML that is installed there: ZenML's own image builder class is called with a stack
of which only the requirements are ours, those of a local_docker orchestrator (zenml/orchestrators/containerized_orchestrator.py
adds zenml[local] if it is local and ZenML's store is a database of its own).
"""

import sys
from types import SimpleNamespace

import yaml
import zenml
from zenml.config import DockerSettings
from zenml.image_builders import BuildContext
from zenml.utils import source_utils
from zenml.utils.archivable import ArchiveType
from zenml.utils.pipeline_docker_image_builder import PipelineDockerImageBuilder


class Archiver:
    """In the place of an image builder: keeps what it is told to build."""

    build_context_class = BuildContext
    is_building_locally = True

    def __init__(self, out):
        self.out = out

    def build(self, image_name, build_context, docker_build_options=None, container_registry=None):
        with open(self.out, "w+b") as file:
            build_context.write_archive(file, ArchiveType.TAR)
        return image_name


def main(project, out):
    with open(f"{project}/run.yaml", encoding="utf-8") as file:
        settings = DockerSettings(**yaml.safe_load(file)["settings"]["docker"])
    source_utils.set_custom_source_root(project)
    stack = SimpleNamespace(
        name="local-docker", image_builder=Archiver(out), container_registry=None, apt_packages=[],
        validate=lambda: None, requirements=lambda: {f"zenml[local]=={zenml.__version__}"})
    PipelineDockerImageBuilder().build_docker_image(
        docker_settings=settings, tag="compare", stack=stack, include_files=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
