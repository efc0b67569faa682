"""Registers a stack with ZenML's client and makes it the active one, by ZenML's own commands in one process.

    python stack.py REGISTRY [KIND --flavor FLAVOR ...]

It has a container registry at REGISTRY, the local image builder and artifact store, and local_docker to run, or what the
further arguments register as "runner".
"""

import sys

from zenml.cli.cli import cli


def zenml(*arguments):
    cli(list(arguments), standalone_mode=False)


def main(registry, *runner):
    zenml("container-registry", "register", "local-registry", "--flavor", "default", "--uri=" + registry)
    zenml("image-builder", "register", "builder", "--flavor", "local")
    zenml("orchestrator", "register", "runner", *(runner or ("--flavor", "local_docker")))
    zenml("stack", "register", "test", "-o", "runner", "-a", "default", "-c", "local-registry", "-i", "builder", "--set")


if __name__ == "__main__":
    main(*sys.argv[1:])
