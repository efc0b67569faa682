#!/usr/bin/env python3
"""Writes dockerfiles.json: what ZenML's own generator makes of the same settings, version by version.

generate.py [DIR]: wheels are downloaded into DIR from the package index, else into a temporary directory. Of each the
generator is taken out of its module and called with settings that have all fields; nothing of ZenML is installed.
"""
import ast
import enum
import itertools
import json
import os
import subprocess
import sys
import tempfile
import types
import typing
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
# Versions in which the generator changed, with the ones before them, as far as the index has them.
VERSIONS = """0.43.0 0.44.1 0.45.2 0.55.5 0.56.1 0.56.2 0.56.3 0.58.0 0.58.1 0.58.2 0.60.0 0.61.0 0.63.0 0.64.0 0.65.0 0.73.0 0.74.0 0.82.0
0.82.1 0.84.0 0.84.3 0.85.0 0.90.0 0.91.0 0.91.1 0.92.0 0.94.0 0.94.1 0.94.3 0.94.5 0.96.0 0.98.0""".split()


class Installer(enum.Enum):
    PIP = "pip"
    UV = "uv"


# A constant of ZenML's that the generator uses, by name.
CONSTANTS = {
    "DOCKER_IMAGE_WORKDIR": "/app",
    "DOCKER_IMAGE_ZENML_CONFIG_PATH": "/app/.zenconfig",
    "ENV_ZENML_ENABLE_REPO_INIT_WARNINGS": "ZENML_ENABLE_REPO_INIT_WARNINGS",
    "ENV_ZENML_REQUIRES_CODE_DOWNLOAD": "ZENML_REQUIRES_CODE_DOWNLOAD",
    "ENV_ZENML_CONFIG_PATH": "ZENML_CONFIG_PATH",
    "ENV_ZENML_LOGGING_COLORS_DISABLED": "ZENML_LOGGING_COLORS_DISABLED",
}


def generator(wheel):
    tree = ast.parse(zipfile.ZipFile(wheel).read("zenml/utils/pipeline_docker_image_builder.py"))
    names = dict(vars(typing), **CONSTANTS, itertools=itertools, DockerSettings=object, PythonPackageInstaller=Installer)
    names["handle_bool_env_var"] = lambda name, default: default
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "").endswith("_DEFAULT_ARGS"):
            names[node.targets[0].id] = ast.literal_eval(node.value)
        if isinstance(node, ast.FunctionDef) and node.name == "_generate_zenml_pipeline_dockerfile":
            node.decorator_list = []
            found = node
    exec(compile(ast.Module([found], []), wheel, "exec"), names)
    return names[found.name]


def cases():
    """Settings by name: what differs from the defaults."""
    yield "plain", {}
    yield "environment", {"environment": {"foo": "a b", "Flag": True, "d": "$HOME"}, "runtime_environment": {"x": 1}}
    yield "packages", {"apt": ["git", "libgomp1"], "user": "zenml"}
    yield "arguments", {"python_package_installer_args": {"pre": None, "no-cache-dir": False, "retries": 3}}
    yield "project", {"local_project_install_command": "pip install --no-deps ."}
    yield "mounted", {"python_package_installer_cache_mount": "type=cache,target=/c", "local_project_install_command": "pip install ."}
    yield "options", {"build_args": {"Token": "x", "OTHER": 1}}
    yield "downloads", {"download": True}


def settings(case, installer):
    args = case.get("build_args")
    options = types.SimpleNamespace(build_args=args)
    return types.SimpleNamespace(
        environment=case.get("environment", {}), runtime_environment=case.get("runtime_environment", {}), user=case.get("user"),
        python_package_installer=installer, python_package_installer_args=case.get("python_package_installer_args", {}),
        python_package_installer_cache_mount=case.get("python_package_installer_cache_mount"),
        local_project_install_command=case.get("local_project_install_command"),
        build_config=types.SimpleNamespace(build_options=options) if args else None,
    )


def main():
    directory = sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()
    result = {}
    for version in VERSIONS:
        wheel = os.path.join(directory, "zenml-%s-py3-none-any.whl" % version)
        if not os.path.exists(wheel):
            subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", directory, "zenml==" + version], check=True)
        call = generator(wheel)
        result[version] = {}
        for (name, case), installer in itertools.product(cases(), Installer):
            arguments = dict(
                parent_image="base:1", docker_settings=settings(case, installer), apt_packages=case.get("apt", []),
                requirements_files=[(".zenml_user_requirements", "a", [])],
            )
            if "download_files" in call.__code__.co_varnames:
                arguments["download_files"] = case.get("download", False)
            result[version][name + "-" + installer.value] = call(**arguments)
    with open(os.path.join(HERE, "dockerfiles.json"), "w") as f:
        json.dump(result, f, indent=1, sort_keys=True)
        f.write("\n")


main()
