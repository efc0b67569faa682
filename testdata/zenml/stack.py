"""Registers a stack with ZenML's client and makes it the active one, by ZenML's own commands in one process.

    python stack.py REGISTRY [EXPORT [SOURCE]]

It has a container registry at REGISTRY, the local image builder and artifact store, and an orchestrator, local_docker or the
flavor kanso_run, whose class is SOURCE. EXPORT is the file that the stack is exported to.
"""

import sys

from zenml.cli.cli import cli


def zenml(*arguments):
    cli(list(arguments), standalone_mode=False)


def main(registry, export=None, source=None):
    zenml("container-registry", "register", "local-registry", "--flavor", "default", "--uri=" + registry)
    zenml("image-builder", "register", "builder", "--flavor", "local")
    if source:
        zenml("orchestrator", "flavor", "register", source)
    zenml("orchestrator", "register", "runner", "--flavor", "kanso_run" if source else "local_docker")
    zenml("stack", "register", "test", "-o", "runner", "-a", "default", "-c", "local-registry", "-i", "builder", "--set")
    if export:
        zenml("stack", "export", "test", export)


if __name__ == "__main__":
    main(*sys.argv[1:])
