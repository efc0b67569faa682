#!/usr/bin/env python3
"""Writes shapes.json: which values ZenML's own DockerSettings takes for each of its keys, by how YAML spells them.

It needs an interpreter with ZenML. A value is what PyYAML makes of it; what stands beside it are settings that a value of the
key needs ("skip_build" a base). Nested keys are written with dots.
"""
import json
import os
import warnings

import yaml
from zenml.config import DockerSettings

SHAPES = """x|3|1.5|1|0.0|true|yes|null|''|'true'|'3'|2024-01-02|2024-01-02 03:04:05|[]|[a]|[3]|[null]|[[a]]|[{a: b}]|[true]|[a, 1]|{}|{a: b}|{1: b}
{null: b}|{a: null}|{a: [1]}|{true: b}|.inf|123456789012345678901234567890|pip|uv|pip_freeze|include|1_000|0x10|-1|' 1 '|'1.0'|'1.5'|no|off|'off'|'y'|' true '|2""".replace("\n", "|").split("|")
NESTED = ["build_options", "dockerignore", "build_options.pull", "build_options.rm", "build_options.no_cache", "build_options.shm_size", "build_options.labels",
          "build_options.build_args", "build_options.cache_from", "build_options.buildargs", "build_options.shmsize", "build_options.squash"]
BESIDE = {"skip_build": {"parent_image": "a"}}


def takes(key, value):
    outer = key.split(".")
    for part in reversed(outer[1:]):
        value = {part: value}
    try:
        DockerSettings(**{**BESIDE.get(outer[0], {}), outer[0]: value})
    except Exception:
        return False
    return True


def main():
    warnings.simplefilter("ignore")
    keys = sorted(DockerSettings.model_fields) + ["%s.%s" % (c, n) for c in ("build_config", "parent_image_build_config") for n in NESTED]
    result = {k: {s: takes(k, yaml.safe_load(s)) for s in SHAPES} for k in keys}
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "shapes.json"), "w") as f:
        f.write("{\n" + ",\n".join("%s: %s" % (json.dumps(k), json.dumps({"takes": [s for s in v if v[s]], "refuses": [s for s in v if not v[s]]})) for k, v in result.items()) + "\n}\n")


main()
