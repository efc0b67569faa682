#!/usr/bin/env python3
"""Writes the inputs of cases 59 and on: edge_cases.py DIR [NAME...]. record_cases.py then has ZenML itself answer.

A case combines settings or probes an edge of one. Each is a line of CASES: a name, why it is there, the run configuration, and
what else differs from a project of two steps on a Kubernetes orchestrator.
"""
import json
import os
import sys

import yaml

K8S = {"orchestrator": [("kubernetes", "k8s", {"kubernetes_context": "eks"})], "artifact_store": [("s3", "s3_store", {"path": "s3://bucket"})]}
HUB = dict(K8S, container_registry=[("dockerhub", "hub", {"uri": "docker.io/acme"})])
ECR = dict(K8S, container_registry=[("aws", "ecr", {"uri": "123456789012.dkr.ecr.eu-central-1.amazonaws.com", "default_repository": "team/zenml"})])
DOCKERD = {"orchestrator": [("local_docker", "dockerd", {})], "artifact_store": [("local", "default", {})]}
LOCAL = {"orchestrator": [("local", "default", {})], "artifact_store": [("local", "default", {})]}
KANIKO = dict(HUB, image_builder=[("kaniko", "kaniko", {"kubernetes_context": "eks"})])
NOAPT = "install_stack_requirements: false"
INCLUDE = "allow_download_from_artifact_store: false"

MAIN = '''import os
from zenml import pipeline, step


%s
@pipeline(name=%r%s)
def the_pipeline():
%s


if __name__ == "__main__":
    the_pipeline.with_options(config_path=os.environ["RUN_YAML"]).build()
'''

CASES = []


def case(name, why, run="{}", docker=None, steps=("load", "train"), stack=HUB, files=(), **fields):
    """Adds a case. steps are names; "b<a" takes what a gives, "b<<a" only runs after it; docker are lines of settings."""
    if docker is not None:
        run = "settings:\n  docker:\n" + "".join("    %s\n" % l for l in docker.strip().split("\n"))
    CASES.append(dict(name=name, why=why, run=run, steps=steps, stack=stack, files=list(files), **fields))


def f(path, content="", **more):
    return dict(path=path, type="file", content=content, **more)


def d(path, **more):
    return dict(path=path, type="dir", **more)


def link(path, target):
    return dict(path=path, type="symlink", target=target)


def source(steps, pipeline, dynamic):
    """The pipeline in Python."""
    functions, calls, count = {}, [], {}
    for s in steps:
        name, _, after = s.partition("<<")
        name, _, take = name.partition("<")
        take = [t for t in take.split(",") if t]
        args = ", ".join("x%d: int" % i for i in range(len(take)))
        functions.setdefault(name, "@step\ndef %s(%s) -> int:\n    return 1\n" % (name, args))
        count[name] = count.get(name, 0) + 1
        var = name if count[name] == 1 else "%s_%d" % (name, count[name])
        words = ["o_" + t for t in take] + (["after=[%s]" % ", ".join(repr(a) for a in after.split(","))] if after else [])
        calls.append("    o_%s = %s(%s)" % (var, name, ", ".join(words)))
    return MAIN % ("\n\n".join(functions.values()) + "\n", pipeline, ", dynamic=True" if dynamic else "", "\n".join(calls))


def write(directory, number, c):
    path = os.path.join(directory, "%02d-%s" % (number, c["name"]))
    os.makedirs(path, exist_ok=True)
    main, pipeline = c.get("main", "run.py"), c.get("pipeline", "my_pipeline")
    cwd = c.get("cwd", ".")
    files = []
    if c.get("zen", "."):
        zen = os.path.normpath(os.path.join(c.get("zen", "."), ".zen"))
        files += [d(zen, mode="0755"), f(zen + "/config.yaml", "active_project_id: null\nactive_stack_id: null\n", mode="0644")]
    text = source(c["steps"], pipeline, c.get("dynamic", False))
    files += [f(os.path.normpath(os.path.join(cwd, main)), text, mode="0644")] + c["files"]
    plain = [s.partition("<")[0] for s in c["steps"]]
    data = dict(
        name=os.path.basename(path), why=c["why"], zenml_version="0.98.0", python_version=sys.version.split()[0], pipeline=pipeline,
        steps=plain, dynamic=c.get("dynamic", False), stack=c.get("stack_name", "edge"), cwd=cwd, main=main, env=c.get("env", {}),
        tools=c.get("tools", {}), local_images=c.get("local_images", []), registry_digests=c.get("registry_digests", {}), files=files,
        source_root=None, error=None, builds=0)
    if any("<" in s for s in c["steps"]):
        data["upstream"] = upstream(c["steps"])
    with open(os.path.join(path, "case.json"), "w") as out:
        json.dump(data, out, indent=1)
    with open(os.path.join(path, "run.yaml"), "w", encoding="utf-8", newline="") as out:
        out.write(c["run"])
    components = {kind: [dict(name=n, flavor=fl, configuration=conf, type=kind) for fl, n, conf in items] for kind, items in c["stack"].items()}
    with open(os.path.join(path, "stack.yaml"), "w") as out:
        yaml.dump(dict(components=components, stack_name=data["stack"], zenml_version="0.98.0"), out)
    return path


def upstream(steps):
    """By invocation, those that it waits for."""
    result, count = {}, {}
    for s in steps:
        name, _, after = s.partition("<<")
        name, _, take = name.partition("<")
        count[name] = count.get(name, 0) + 1
        result[name if count[name] == 1 else "%s_%d" % (name, count[name])] = [t for t in take.split(",") + after.split(",") if t]
    return result


# Values of environments.
case("env-scalars", "Python's str() of every kind of YAML scalar", docker="""environment:
  date: 2024-01-02
  time: 2024-01-02T03:04:05Z
  zone: 2024-01-02 03:04:05.5 +02:00
  naive: 2024-01-02 03:04:05
  micro: 2024-01-02 03:04:05.123456789
  yes_: yes
  off_: OFF
  n: n
  int: 017
  hex: 0x1F
  bin: 0b101
  under: 1_000
  sixty: 1:30:00
  sixtyf: 1:30.5
  neg: -0
  f1: 1.0
  f2: 1e3
  f3: 1.0e+30
  f4: .inf
  f5: -.inf
  f6: .nan
  f7: 1.0e-7
  f8: 12345678901234567890.0
  big: 123456789012345678901234567890
  null1: ~
  null2:
  empty: ''
  str: '12'
  oct: 0o17
  plus: +1
  dot: .5
  dot2: 5.
  exp: 1.5e3
  exp2: 1.5e+3""")
case("env-strings", "quotes, dollars, newlines and what is not ASCII", docker=r"""environment:
  q: it's
  dq: 'say "hi"'
  dollar: $HOME
  back: 'a\b'
  hash: 'a # b'
  uni: grüße 🎉
  nul: "tab\there"
  brace: '{date}-{time}-{x}'
  eq: a=b
  'sp ace': v
  lower.dot: v
  ÄÖß: v
  Ümläut: v""")
case("env-newline", "a newline stands in the Dockerfile as it is", docker='environment: {a: "x\\ny", b: "x\\r\\ny", c: "\\n"}')
case("env-collections", "lists and mappings as Python writes them", docker="""environment:
  list: [1, two, 3.0, null, true, 'it''s', "a\\nb", 2024-01-02, 2024-01-02 03:04:05]
  dict: {a: 1, b: [x], 1: y, null: z, true: w}
  nested: {a: {b: {c: "ü'\\"x"}}}
  empty: []
  edict: {}
  quotes: ["'", '"', "'\\"", "\\\\", "\\t", "\\x01", "\\xa0", "\\u2028", "🎉"]
  floats: [.inf, -.inf, .nan, 1e22, 1.0e+22, 0.1]""")
case("env-keys-case", "keys that differ in case only", docker="environment: {foo: 1, FOO: 2, Foo: 3}\nruntime_environment: {foo: 4, bar: ''}")
case("env-int-key", "a key that is no string is refused", docker="environment: {1: x}")
case("env-bool-key", "YAML 1.1 makes true of yes and on", docker="environment: {on: x}")
case("env-null-key", "a key that is null is refused", docker="environment: {~: x}")
case("env-list", "a list is refused", docker="environment: [A=b]")
case("env-merge-key", "YAML's merge key", run="""base: &base {A: 1, B: 2}
settings:
  docker:
    environment:
      <<: *base
      B: 3
      C: 4
""")
case("env-merge-list", "a list of mappings to merge", run="""extra:
  x: &x {A: x, B: x}
  y: &y {B: y, C: y}
settings:
  docker:
    environment: {<<: [*x, *y], D: 1}
""")
case("env-duplicate-key", "of two equal keys the last one holds", docker="environment: {A: 1, B: 2, A: 3}")
case("docker-duplicate-key", "of two equal keys the last one holds, in its first place", docker="apt_packages: [git]\nuser: a\napt_packages: [curl]")
case("env-tags", "explicit tags of YAML", docker="environment: {a: !!str 12, b: !!int '12', c: !!float 1, d: !!bool yes, e: !!str yes, f: !!null '', g: !!binary aGk=, i: !!timestamp 2024-01-02}")
case("env-block-strings", "literal and folded blocks", docker="environment:\n  a: |-\n    one\n  b: >-\n    one\n    two\n  c: plain\n    goes on")
case("placeholder-everywhere", "placeholders in keys, lists, numbers that stay text, twice", docker="""environment: {'${K}_X': '${V}', N: '${NUM}', E: '${EMPTY}', T: '${V}${V}', D: $V, B: '${V', DD: '$${V}', I: '${A-B}'}
requirements: ['pkg==${NUM}']
apt_packages: ['${V}']
target_repository: ${V}
skip_build: ${FALSE}""", env={"K": "key", "V": "val", "NUM": "1.0", "EMPTY": "", "FALSE": "false"})
case("placeholder-recursive", "what a variable holds is not looked at again", docker="environment: {A: '${V}'}", env={"V": "${W}", "W": "w"})
case("placeholder-deep", "and not looked at a third time", docker="environment: {A: '${V}', '${V}': b}\nrequirements: ['${V}']", env={"V": "${W}", "W": "${X}", "X": "${Y}"})
case("placeholder-step-recursive", "the same for a step", run="steps: {train: {settings: {docker: {user: '${V}'}}}}\n", env={"V": "${W}", "W": "${X}", "X": "x"})
case("placeholder-unused-key", "a missing variable in a part that is not about images", run="extra: {a: '${NOT_THERE}'}\nsettings: {docker: {user: x}}\n")
case("placeholder-step-unknown", "a missing variable in a step that does not exist", run="steps: {nosuch: {settings: {docker: {user: '${NOT_THERE}'}}}}\n")
case("placeholder-parameters", "a missing variable in a step's parameters", run="steps: {load: {extra: {p: '${NOT_THERE}'}}}\n")
case("placeholder-newline", "a variable of several lines", docker="requirements: ['${V}']", env={"V": "a\nb"})

# Requirements.
case("req-crlf", "CRLF in a requirements file becomes LF", docker="requirements: requirements.txt", files=[f("requirements.txt", "a\r\nb\r\n# c\r\n")])
case("req-cr", "a lone CR becomes LF", docker="requirements: requirements.txt", files=[f("requirements.txt", "a\rb\n\rc")])
case("req-bom", "a byte order mark stays", docker="requirements: reqs.txt", files=[f("reqs.txt", "\ufeffnumpy\n")])
case("req-odd-lines", "comments, continuations, includes and hashes stay as they are", docker="requirements: reqs/r.txt", files=[
    f("reqs/r.txt", "# c\n\n-r base.txt\na==1 \\\n  --hash=sha256:00\n-e .\n./local\nb; python_version<'3.9'\n\n"), f("reqs/base.txt", "x\n")])
case("req-empty-file", "an empty file installs nothing", docker="requirements: r.txt\n" + NOAPT, files=[f("r.txt")])
case("req-blank-file", "a file of blanks is installed", docker="requirements: r.txt\n" + NOAPT, files=[f("r.txt", " \n")])
case("req-empty-list", "an empty list counts as none", docker="requirements: []")
case("req-list-blanks", "empty items stay", docker="requirements: ['', ' a ', '']")
case("req-list-empty-item", "a list of one empty text", docker="requirements: ['']\n" + NOAPT)
case("req-empty-string", "an empty path is no path", docker="requirements: ''")
case("req-list-is-file", "a list whose text is the name of a file: ZenML packs the file", docker="requirements: [extra.txt]", files=[f("extra.txt", "inner\r\n")])
case("req-list-is-dir", "a list whose text is the name of a directory", docker="requirements: [src]", files=[f("src/a.py", "")])
case("req-nested-list", "a list in a list is refused", docker="requirements: [[a]]")
case("req-number-item", "a number in a list is refused", docker="requirements: [1.0]")
case("req-dir", "a directory in the place of a file", docker="requirements: reqs", files=[f("reqs/a", "")])
case("req-from-subdir", "paths are relative to where the command runs", docker="requirements: ../r.txt\n" + INCLUDE, cwd="sub", zen=".", files=[f("r.txt", "a\n"), f("sub/r.txt", "b\n")])
case("req-symlink", "a link is followed", docker="requirements: l.txt\n" + INCLUDE, files=[f("r.txt", "a\n"), link("l.txt", "r.txt")])
case("req-not-utf8", "text beyond ASCII", docker="requirements: r.txt", files=[f("r.txt", "# grüße 🎉\na\n")])
case("integrations-several", "sorted together, each line once", docker="required_integrations: [sklearn, mlflow, pandas, sklearn]\n" + NOAPT)
case("integrations-apt", "apt packages of integrations, in the order of the list, twice if named twice", docker="required_integrations: [lightgbm, deepchecks, lightgbm]\napt_packages: [libgomp1]\n" + NOAPT)
case("integrations-odd", "those whose requirements are computed", docker="required_integrations: [tensorflow, huggingface, great_expectations, evidently, whylogs, feast, databricks, facets, seldon, tensorboard, mlx]\n" + NOAPT)
case("integrations-empty", "those that need nothing", docker="required_integrations: [airflow, kaniko]\n" + NOAPT)
case("integrations-string", "a string is no list", docker="required_integrations: sklearn")
case("integrations-case", "names are as they are", docker="required_integrations: [Sklearn]")
case("integrations-unknown-second", "the second is not known", docker="required_integrations: [sklearn, skleran]")
case("apt-odd", "order and repetition stay", docker="apt_packages: [zlib1g, git, git, 'libx=1.0*', \"a'b\"]\n" + NOAPT)
case("apt-null-item", "a null in a list is refused", docker="apt_packages: [git, null]")
case("apt-bool-item", "YAML's yes is no string", docker="apt_packages: [git, yes]")
case("apt-mapping", "a mapping is refused", docker="apt_packages: {git: 1}")
case("everything", "all kinds of requirements at once", docker="""requirements: [a, b]
required_integrations: [sklearn]
apt_packages: [git]
replicate_local_python_environment: [printf, x==1]
pyproject_path: pyproject.toml
pyproject_export_command: [printf, y==1]
environment: {A: 1}
runtime_environment: {B: 2}
user: app:grp
image_tag: v1
python_package_installer: pip
""" + INCLUDE + "\nlocal_project_install_command: pip install -e .", files=[f("pyproject.toml", "[project]\nname='x'\n")], stack=KANIKO)

# The installer's arguments.
case("args-types", "values of every type", docker="""python_package_installer_args:
  a: true
  b: false
  c: null
  d: 1
  e: 1.50
  f: [x, y]
  g: {h: i}
  'i j': 'k l'
  index-url: https://x/$TOKEN
  date: 2024-01-02
  empty: ''""")
case("args-override", "a default keeps its place", docker="python_package_installer: pip\npython_package_installer_args: {zzz: 1, default-timeout: 5, no-cache-dir: false}")
case("args-uv-null", "uv's default given again", docker="python_package_installer_args: {system: null, no-cache-dir: null}")
case("args-step-null", "a null of a step is lost, one of the pipeline holds", run="""settings: {docker: {python_package_installer_args: {system: null, a: 1}}}
steps: {train: {settings: {docker: {python_package_installer_args: {b: null, a: 2}}}}}
""")
case("args-int-key", "keys are strings", docker="python_package_installer_args: {1: x}")
case("args-list", "a list is refused", docker="python_package_installer_args: [--system]")
case("mount-pip", "a cache mount drops no-cache-dir, and goes to the project, too", docker="python_package_installer: pip\npython_package_installer_cache_mount: type=cache,target=/root/.cache/pip\npython_package_installer_args: {no-cache-dir: null, pre: null}\nlocal_project_install_command: pip install .\n" + INCLUDE)
case("mount-empty", "an empty mount is off", docker="python_package_installer_cache_mount: ''")
case("mount-uv-no-req", "uv with a mount and nothing to install", docker="python_package_installer_cache_mount: type=cache,target=/c\n" + NOAPT + "\nuser: x\nenvironment: {A: 1}")
case("installer-upper", "names are as they are", docker="python_package_installer: UV")
case("installer-null", "null is refused where a value must be", docker="python_package_installer: null")

# Null values and wrong types at the pipeline's level.
for key, value in {
    "environment": "null", "apt_packages": "null", "skip_build": "null", "required_integrations": "null", "python_package_installer_args": "null",
    "allow_including_files_in_images": "null", "install_stack_requirements": "null", "copy_files": "null", "build_options": "null",
}.items():
    case("null-" + key.replace("_", "-"), "a null where none may be is refused", docker="%s: %s" % (key, value))
case("null-optional", "nulls where they may be", docker="""parent_image: null
image_tag: null
dockerfile: null
build_context_root: null
parent_image_build_config: null
target_repository: ~
replicate_local_python_environment: null
pyproject_path: null
pyproject_export_command: null
requirements: null
local_project_install_command: null
user: null
build_config: null
dockerignore: null
source_files: null
python_package_installer_cache_mount: null""")
case("bool-words", "what counts for a boolean", docker="install_stack_requirements: 'no'\ncopy_files: 0\nprevent_build_reuse: 'T'\nallow_download_from_artifact_store: off\ndisable_automatic_requirements_detection: 1.0")
case("bool-wrong", "what does not", docker="install_stack_requirements: maybe")
case("bool-two", "neither does 2", docker="skip_build: 2")
case("text-number", "a number is no string", docker="user: 1000")
case("text-list", "a list is no string", docker="parent_image: [a]")
case("text-date", "a date is no string", docker="image_tag: 2024-01-02")
case("text-empty", "empty strings are as if they were not there", docker="parent_image: ''\nimage_tag: ''\nuser: ''\ntarget_repository: ''\ndockerfile: ''\npyproject_path: ''\nlocal_project_install_command: ''")
case("docker-null", "settings of null", run="settings: {docker: null}\n")
case("docker-list", "settings of a list", run="settings: {docker: [a]}\n")
case("docker-string", "settings of a string", run="settings: {docker: x}\n")
case("settings-null", "no settings at all", run="settings:\nsteps:\n")
case("settings-list", "a list in the place of settings", run="settings: [docker]\n")
case("run-list", "a list in the place of a run configuration", run="- a\n")
case("run-unknown-key", "an unknown key at the top", run="setings: {docker: {user: x}}\n")
case("settings-unknown-key", "an unknown key beside docker", run="settings: {dockr: {user: x}, docker: {user: y}}\n")
case("settings-resources", "keys of other settings", run="settings: {docker: {user: y}, resources: {cpu_count: 2, memory: 4GB}, orchestrator: {synchronous: false}, orchestrator.kubernetes: {}}\n")
case("settings-flavor", "settings of a flavor that the stack does not have", run="settings: {docker: {user: y}, orchestrator.vertex: {labels: {a: b}}, 'orchestrator:k8s': {synchronous: false}}\n")
case("settings-always-build", "a Kubernetes orchestrator can be told to have the pipeline's image in any case", run="""settings: {orchestrator: {always_build_pipeline_image: true}}
steps: {load: {settings: {docker: {user: a}}}, train: {settings: {docker: {user: b}}}}
""")
case("settings-always-build-flavor", "the same by flavor", run="""settings: {orchestrator.kubernetes: {always_build_pipeline_image: true}}
steps: {load: {settings: {docker: {user: a}}}, train: {settings: {docker: {user: b}}}}
""")
case("component-always-build", "the same in the component's configuration", run="steps: {load: {settings: {docker: {user: a}}}, train: {settings: {docker: {user: b}}}}\n",
     stack=dict(HUB, orchestrator=[("kubernetes", "k8s", {"kubernetes_context": "eks", "always_build_pipeline_image": True})]))
case("step-unknown-key", "an unknown key in a step", run="steps: {train: {setings: {docker: {user: x}}}}\n")
case("step-null", "a step of null", run="steps: {train: null}\nsettings: {docker: {user: x}}\n")
case("step-settings-null", "a step without settings", run="steps: {train: {settings: null}, load: {settings: {docker: null}}}\n")
case("step-string", "a string in the place of a step", run="steps: {train: x}\n")
case("steps-list", "a list in the place of steps", run="steps: [train]\n")
case("top-other-keys", "keys of a run configuration that say nothing of images", run="""run_name: r-{date}-{time}
enable_cache: false
enable_step_logs: true
extra: {a: 1}
tags: [x]
parameters: {}
environment: {A: 1}
retry: {max_retries: 2}
settings: {docker: {user: x}}
steps: {train: {enable_cache: true, extra: {b: c}, environment: {B: '2'}, retry: {max_retries: 1}, parameters: {}}}
""")

# Steps.
case("order-data", "images come in the order in which steps can run, by name among equals", steps=("zeta", "beta<zeta", "alpha", "gamma<beta,alpha"), run="".join(["steps:\n"] + ["  %s: {settings: {docker: {environment: {S: '%s'}}}}\n" % (s, s) for s in ("gamma", "alpha", "beta", "zeta")]))
case("order-after", "the same for steps that only wait", steps=("b", "a", "c<<a", "d<<b", "e"), run="".join(["steps:\n"] + ["  %s: {settings: {docker: {environment: {S: '%s'}}}}\n" % (s, s) for s in "abcde"]))
case("order-repeated", "a step that is called three times", steps=("load", "load", "load"), run="steps:\n  load_2: {settings: {docker: {user: two}}}\n  load: {settings: {docker: {user: one}}}\n")
case("step-merge-deep", "mappings merge deeply, lists and scalars replace", run="""settings:
  docker:
    build_config: {build_options: {labels: {a: 1, b: {c: 1}}, cache_from: [x], platform: linux/amd64}, dockerignore: one}
    environment: {A: {x: 1}, B: 2, L: [1]}
    python_package_installer_args: {a: 1, b: [1]}
    requirements: r.txt
steps:
  train:
    settings:
      docker:
        build_config: {build_options: {labels: {b: {d: 2}, e: 3}, cache_from: [y]}}
        environment: {A: {y: 2}, B: {z: 1}, L: [2]}
        python_package_installer_args: {b: [2], c: 3}
        requirements: [other]
  load:
    settings:
      docker:
        build_config: {dockerignore: two}
        environment: {a: 1}
""", files=[f("r.txt", "a\n")])
case("step-equal-by-value", "settings that say the default again give the pipeline's image", run="""settings: {docker: {apt_packages: [git], environment: {A: '1'}}}
steps: {train: {settings: {docker: {apt_packages: [git], environment: {}, install_stack_requirements: true, user: null}}}}
""")
case("step-type-differs", "1 and '1' and true are different, 1 and 1.0 are not", steps=("a", "b", "c", "d"), run="""settings: {docker: {environment: {A: 1}}}
steps: {a: {settings: {docker: {environment: {A: '1'}}}}, b: {settings: {docker: {environment: {A: 1.0}}}}, c: {settings: {docker: {environment: {A: true}}}}, d: {settings: {docker: {environment: {A: 01}}}}}
""")
case("step-order-of-keys", "the order of variables does not make settings different", run="""settings: {docker: {environment: {A: 1, B: 2}}}
steps: {train: {settings: {docker: {environment: {B: 2, A: 1}}}}}
""")
case("step-share-between", "two steps with equal settings share an image that no other has", steps=("a", "b", "c"), run="""settings: {docker: {user: p}}
steps: {a: {settings: {docker: {user: s}}}, b: {settings: {docker: {user: s}}}}
""")
case("step-prevent-reuse", "prevent_build_reuse makes settings different, and checksums equal", run="steps: {train: {settings: {docker: {prevent_build_reuse: true}}}}\n")
case("step-skip-build", "a step that runs in an image as it is", run="settings: {docker: {user: x}}\nsteps: {train: {settings: {docker: {skip_build: true, parent_image: 'my/image:1'}}}}\n", registry_digests={"my/image:1": "ab" * 32})
case("step-skip-no-parent", "a step cannot take the pipeline's base for skip_build, since it is checked alone", run="settings: {docker: {parent_image: 'my/image:1'}}\nsteps: {train: {settings: {docker: {skip_build: true}}}}\n")
case("step-unskip", "a step that builds where the pipeline does not", run="settings: {docker: {skip_build: true, parent_image: 'my/image:1'}}\nsteps: {train: {settings: {docker: {skip_build: false, apt_packages: [git]}}}}\n")
case("skip-all-steps", "all steps have images of their own, the pipeline skips", run="settings: {docker: {skip_build: true, parent_image: 'a:1'}}\nsteps: {train: {settings: {docker: {parent_image: 'b:1'}}}, load: {settings: {docker: {parent_image: 'c:1'}}}}\n")
case("step-project-no-include", "a step's command contradicts the pipeline's setting", run="settings: {docker: {allow_including_files_in_images: false}}\nsteps: {train: {settings: {docker: {local_project_install_command: pip install .}}}}\n")
case("step-source-files", "old settings of a step meet new ones of the pipeline", run="settings: {docker: {allow_download_from_artifact_store: true}}\nsteps: {train: {settings: {docker: {source_files: include}}}}\n")
case("pipeline-source-files", "old settings of the pipeline meet new ones of a step", run="settings: {docker: {source_files: download}}\nsteps: {train: {settings: {docker: {allow_including_files_in_images: true}}}}\n")
case("source-files-both", "old and new settings at once", docker="source_files: include\nallow_download_from_artifact_store: true")
for mode in ("download", "download_or_include", "ignore"):
    case("source-files-" + mode.replace("_", "-"), "an old mode", docker="source_files: " + mode)
case("dynamic", "only the pipeline's image", dynamic=True, run="settings: {docker: {user: x}}\nsteps: {train: {settings: {docker: {user: y}}}}\n")
case("dynamic-skip", "a dynamic pipeline that builds nothing", dynamic=True, run="settings: {docker: {skip_build: true, parent_image: 'a:1'}}\n")
case("dynamic-operator", "a dynamic pipeline with step operators", dynamic=True, stack=dict(HUB, step_operator=[("kubernetes", "kop", {"kubernetes_context": "eks"})]), run="steps: {train: {step_operator: kop}}\n")

# Stacks.
OPERATORS = {"sagemaker": {"role": "arn:aws:iam::123456789012:role/sm"}, "vertex": {"project": "p", "region": "r"}, "azureml": {"subscription_id": "a", "resource_group": "b", "workspace_name": "c"}, "kubernetes": {"kubernetes_context": "eks"}, "modal": {}, "spark-kubernetes": {"master": "k8s://https://x", "deploy_mode": "cluster"}, "runai": {"project_name": "p", "cluster_name": "c", "client_id": "x", "client_secret": "y", "runai_base_url": "https://x"}, "ssh": {"hostname": "h", "username": "u", "ssh_private_key": "x"}, "baseten": {"api_key": "x", "project": "p"}}
for flavor, conf in OPERATORS.items():
    case("operator-" + flavor, "a step operator", stack=dict(ECR, step_operator=[(flavor, "op", conf)]), run="settings: {docker: {%s}}\nsteps: {train: {step_operator: op}}\n" % NOAPT)
case("operators-two", "two operators: one step each, and one that takes both", steps=("a", "b", "c", "d"), stack=dict(ECR, step_operator=[("sagemaker", "sm", OPERATORS["sagemaker"]), ("kubernetes", "kop", {"kubernetes_context": "eks"})]), run="steps: {a: {step_operator: sm}, b: {step_operator: kop}, c: {step_operator: true, settings: {docker: {user: c}}}, d: {step_operator: false}}\n")
case("operator-unknown", "an operator that the stack does not have", run="steps: {train: {step_operator: nosuch}}\n")
case("operator-true-none", "any operator, and there is none", run="steps: {train: {step_operator: true}}\n")
case("operator-local-orchestrator", "a local orchestrator with a step operator", stack={"orchestrator": [("local", "default", {})], "artifact_store": K8S["artifact_store"], "container_registry": HUB["container_registry"], "step_operator": [("kubernetes", "kop", {"kubernetes_context": "eks"})]}, run="steps: {train: {step_operator: kop}}\n")
case("seldon", "a model deployer with an image for a step that says so", stack=dict(HUB, model_deployer=[("seldon", "sel", {"kubernetes_context": "eks", "kubernetes_namespace": "n", "base_url": "http://x", "secret": "s", "kubernetes_secret_name": "n"})]), run="steps: {train: {extra: {seldon_custom_deployment: true}}, load: {extra: {seldon_custom_deployment: 1}}}\n")
for flavor, conf in {"mlflow": {}, "bentoml": {}, "huggingface": {"token": "x", "namespace": "n"}, "vllm": {}, "databricks": {"host": "h", "client_id": "a", "client_secret": "b"}}.items():
    case("model-deployer-" + flavor, "a model deployer that asks for no image", stack=dict(HUB, model_deployer=[(flavor, "md", conf)]))
DEPLOYERS = {"docker": {}, "aws": {}, "gcp": {"location": "l"}, "kubernetes": {"kubernetes_context": "eks"}, "huggingface": {"token": "x"}, "local": {}}
for flavor, conf in DEPLOYERS.items():
    case("deployer-" + flavor, "a deployer", stack=dict(ECR, deployer=[(flavor, "dep", conf)]), docker="requirements: [a]")
case("deployer-no-requirements", "a deployer without its requirements", stack=dict(ECR, deployer=[("kubernetes", "dep", {"kubernetes_context": "eks"})]), docker="install_deployment_requirements: false")
case("deployer-settings", "a deployer and steps with settings", stack=dict(ECR, deployer=[("docker", "dep", {})]), run="settings: {docker: {user: x}, deployment: {app_title: t}}\nsteps: {train: {settings: {docker: {user: y, install_deployment_requirements: false}}}}\n")
case("deployer-skip-build", "a deployer where nothing is built", stack=dict(ECR, deployer=[("docker", "dep", {})]), docker="skip_build: true\nparent_image: a:1")
case("deployer-local-orchestrator", "a deployer with a local orchestrator", stack=dict(LOCAL, deployer=[("docker", "dep", {})]))
ORCHESTRATORS = {"sagemaker": {"execution_role": "arn:aws:iam::123456789012:role/x"}, "vertex": {"project": "p", "location": "l"}, "azureml": {"subscription_id": "a", "resource_group": "b", "workspace": "c"}, "airflow": {"local": False}, "kubeflow": {"kubernetes_context": "eks"}, "tekton": {"kubernetes_context": "eks"}, "hyperai": {}, "vm_aws": {}, "vm_gcp": {}, "vm_azure": {}, "vm_lambda": {"api_key": "x"}, "vm_kubernetes": {}, "databricks": {"host": "h", "client_id": "a", "client_secret": "b"}, "lightning": {"user_id": "u", "api_key": "k"}, "modal": {}, "ssh": {"hostname": "h", "username": "u", "ssh_private_key": "x"}}
for flavor, conf in ORCHESTRATORS.items():
    case("orchestrator-" + flavor, "an orchestrator", stack=dict(ECR, orchestrator=[(flavor, "orc", conf)]), docker="user: x")
for flavor, conf in {"kubernetes": {"kubernetes_context": "eks", "local": True, "skip_local_validations": True}, "airflow": {"local": True}, "vm_aws": {}}.items():
    case("local-" + flavor, "an orchestrator on this machine", stack={"orchestrator": [(flavor, "orc", conf)], "artifact_store": [("local", "default", {})], "container_registry": [("default", "reg", {"uri": "localhost:5000"})]}, docker="user: x")
case("no-registry-docker", "no registry at all", stack=DOCKERD, docker="parent_image: a:1\n" + NOAPT + "\nuser: x\n" + INCLUDE)
case("no-registry-kubernetes", "an orchestrator that needs a registry", stack=K8S)
case("kaniko-no-registry", "an image builder that needs a registry", stack=dict(DOCKERD, image_builder=KANIKO["image_builder"]))
case("kaniko-local-registry", "and one that is elsewhere", stack=dict(K8S, image_builder=KANIKO["image_builder"], container_registry=[("default", "reg", {"uri": "localhost:5000"})]))
for flavor, uri in {"default": "localhost:5000/", "github": "ghcr.io/acme//", "azure": "acme.azurecr.io", "gcp": "europe-docker.pkg.dev/p/r/", "digitalocean": "registry.digitalocean.com/acme", "dockerhub": "index.docker.io/acme"}.items():
    case("registry-" + flavor, "a registry", stack=dict(K8S, container_registry=[(flavor, "reg", {"uri": uri})]), docker="user: x")
    case("registry-%s-repository" % flavor, "a registry with a repository", stack=dict(K8S, container_registry=[(flavor, "reg", {"uri": uri, "default_repository": "some/repo"})]), docker="target_repository: other/one" if flavor == "github" else "user: x")
case("builder-aws", "CodeBuild", stack=dict(ECR, image_builder=[("aws", "cb", {"code_build_project": "p"})]), docker="parent_image: a:1\nbuild_config: {build_options: {labels: {a: b}}}", local_images=["a:1"])
case("builder-gcp", "Cloud Build", stack=dict(K8S, artifact_store=[("gcp", "gs", {"path": "gs://b"})], container_registry=[("gcp", "gcr", {"uri": "gcr.io/p"})], image_builder=[("gcp", "cb", {})]), docker="dockerfile: own.docker\nbuild_context_root: .\nuser: x", files=[f("own.docker", "FROM x\n")])
case("components-many", "two trackers and a validator, in the order of creation", stack=dict(HUB, experiment_tracker=[("wandb", "z", {"api_key": "x", "project_name": "p"}), ("mlflow", "a", {"tracking_uri": "https://x", "tracking_token": "x"})], data_validator=[("deepchecks", "dc", {})]), docker="apt_packages: [git]\nrequired_integrations: [lightgbm]")
case("components-apt", "apt packages of a stack's components come before those of integrations", stack=dict(ECR, orchestrator=[("vm_aws", "vm", {})], data_validator=[("deepchecks", "dc", {})]), docker="apt_packages: [git]\nrequired_integrations: [lightgbm]")
case("components-custom", "alerters, log stores and model registries", stack=dict(HUB, model_registry=[("mlflow", "mr", {})], experiment_tracker=[("mlflow", "a", {"tracking_uri": "https://x", "tracking_token": "x"})], log_store=[("otel", "ot", {"endpoint": "http://x"})], annotator=[("label_studio", "ls", {})]), docker="user: x")

# Names.
case("tag-placeholder", "placeholders in a tag are kept as they are", docker="image_tag: 'v-{date}-{time}-{x}'")
case("tag-odd", "a tag is taken raw", docker="image_tag: My Tag/ü")
case("repo-odd", "a repository is taken raw", docker="target_repository: /My Repo/")
case("name-long", "a name that is too long is cut", pipeline="p" * 150, docker="dockerfile: own.docker", files=[f("own.docker", "FROM x\n")])
case("name-dots", "a name that begins with a dot", pipeline="..a b", docker="user: x")
case("name-unicode", "a name without a letter of ASCII", pipeline="äöü", docker="user: x")
case("tag-own-dockerfile", "a tag with a Dockerfile of the user's own", docker="dockerfile: own.docker\nimage_tag: 'v 1'", files=[f("own.docker", "FROM x\n")])
case("repo-own-dockerfile", "a repository with a Dockerfile of the user's own, built far away", docker="dockerfile: own.docker\ntarget_repository: mine", files=[f("own.docker", "FROM x\n")], stack=KANIKO)

# Bases and builds.
case("parent-local", "a base that only this machine has is not pulled", docker="parent_image: mine:1\nuser: x", local_images=["mine:1"])
case("parent-remote", "a base with a digest", docker="parent_image: acme/x:1\nuser: x", registry_digests={"acme/x:1": "cd" * 32})
case("parent-default", "ZenML's own base, named", docker="parent_image: zenmldocker/zenml:0.98.0-py3.11\nuser: x")
case("parent-default-nothing", "and nothing on it", docker="parent_image: zenmldocker/zenml:0.98.0-py3.11\n" + NOAPT)
case("parent-kaniko", "a builder far away always pulls", docker="parent_image: mine:1\nbuild_config: {build_options: {pull: false, rm: true}}", local_images=["mine:1"], stack=KANIKO)
case("parent-no-registry", "without a registry no digest is looked up", docker="parent_image: mine:1", stack=DOCKERD)
case("direct-no-registry", "a base used as it is, without a registry", docker="parent_image: mine:1\n" + NOAPT, stack=DOCKERD)
case("direct-steps", "a base used as it is by the pipeline, and built on by a step", run="settings: {docker: {parent_image: 'mine:1', install_stack_requirements: false}}\nsteps: {train: {settings: {docker: {apt_packages: [git]}}}}\n")
case("runtime-only", "a variable of the running time alone needs no build", docker="runtime_environment: {A: 1}\n" + NOAPT)
case("user-only", "neither does a user, but a base is needed then", docker="user: x\n" + NOAPT + "\nparent_image: a:1")
case("detect-only", "nor what is found by itself", docker="disable_automatic_requirements_detection: false\n" + NOAPT, files=[f("requirements.txt", "a\n")])
case("detect-both", "requirements.txt wins over pyproject.toml", docker="disable_automatic_requirements_detection: false", files=[f("requirements.txt", "a\r\n"), f("pyproject.toml", "[project]\n")])
case("detect-pyproject", "a pyproject.toml is exported where there is no requirements.txt", docker="disable_automatic_requirements_detection: false", files=[f("pyproject.toml", "[project]\n")], tools={"uv": "#!/bin/sh\necho \"$@\" | sed 's|--directory=[^ ]*/p|--directory=ROOT|'\n"})
case("detect-replicate", "not where the environment is replicated", docker="disable_automatic_requirements_detection: false\nreplicate_local_python_environment: true", files=[f("requirements.txt", "a\n")], tools={"pip": "#!/bin/sh\necho frozen\n"})
case("detect-root", "it is looked for in the source root, not where the command runs", docker="disable_automatic_requirements_detection: false", cwd="sub", files=[f("requirements.txt", "root\n"), f("sub/requirements.txt", "sub\n")])
case("detect-dir", "a directory of that name", docker="disable_automatic_requirements_detection: false", files=[f("requirements.txt/x", "a\n")])
case("detect-disabled-step", "a step that looks, a pipeline that does not", run="steps: {train: {settings: {docker: {disable_automatic_requirements_detection: false}}}}\n", files=[f("requirements.txt", "a\n")])

# Exports.
case("replicate-false", "false is none", docker="replicate_local_python_environment: false")
case("replicate-poetry", "poetry's export", docker="replicate_local_python_environment: poetry_export", tools={"poetry": "#!/bin/sh\necho \"$@\"\n"})
case("replicate-word", "a word that is no command of ZenML's", docker="replicate_local_python_environment: conda")
case("replicate-string-true", "the word true", docker="replicate_local_python_environment: 'true'", tools={"pip": "#!/bin/sh\necho frozen\n"})
case("replicate-one", "1 is true", docker="replicate_local_python_environment: 1", tools={"pip": "#!/bin/sh\necho frozen\n"})
case("replicate-empty-list", "an empty list is none", docker="replicate_local_python_environment: []")
case("replicate-shell", "a list is one line of the shell, and prints CRLF", docker="replicate_local_python_environment: [printf, \"'a\\\\r\\\\nb'\", '|', cat]")
case("replicate-silent", "a command that prints nothing", docker="replicate_local_python_environment: ['true']\n" + NOAPT)
case("replicate-stderr", "what it says on standard error is not taken", docker="replicate_local_python_environment: [echo, a, '&&', echo, b, '>&2']")
case("replicate-cwd", "it runs where the command runs", docker="replicate_local_python_environment: [cat, here.txt]", cwd="sub", files=[f("sub/here.txt", "x==1\n")])
case("pyproject-directory", "the directory of the file", docker="pyproject_path: pkg/pyproject.toml\npyproject_export_command: [cat, '{directory}/reqs', '{{x}}', '2>/dev/null', '||', 'true']", files=[f("pkg/pyproject.toml", ""), f("pkg/reqs", "a\n")])
case("pyproject-brace", "a brace that names nothing", docker="pyproject_path: pyproject.toml\npyproject_export_command: ['echo', '{nosuch}']", files=[f("pyproject.toml", "")])
case("pyproject-brace-empty", "an empty brace", docker="pyproject_path: pyproject.toml\npyproject_export_command: ['echo', '{}']", files=[f("pyproject.toml", "")])
case("pyproject-brace-single", "a single brace", docker="pyproject_path: pyproject.toml\npyproject_export_command: ['echo', '}']", files=[f("pyproject.toml", "")])
case("pyproject-brace-spec", "a brace with a conversion and a format", docker="pyproject_path: pyproject.toml\npyproject_export_command: ['printf', '%s', '{directory!r:.3}', '{directory:.2}']", files=[f("pyproject.toml", "")])
case("pyproject-fails", "a command that fails", docker="pyproject_path: pyproject.toml\npyproject_export_command: [echo, oops, '>&2;', 'false']", files=[f("pyproject.toml", "")])
case("pyproject-empty-command", "an empty list is none", docker="pyproject_path: pyproject.toml\npyproject_export_command: []", files=[f("pyproject.toml", "")], tools={"uv": "#!/bin/sh\nexit 1\n", "poetry": "#!/bin/sh\necho p\n"})
case("pyproject-silent", "an export that prints nothing", docker="pyproject_path: pyproject.toml\n" + NOAPT, files=[f("pyproject.toml", "")], tools={"uv": "#!/bin/sh\n"})
case("pyproject-string-command", "a string is no list", docker="pyproject_path: pyproject.toml\npyproject_export_command: uv export", files=[f("pyproject.toml", "")])

# Build options.
case("options-cli", "every kind of option", docker="""build_config:
  build_options:
    squash: true
    isolation: false
    gzip: null
    one: 1
    zero: 0
    onef: 1.0
    target: x
    ulimit: [a=1, b=2]
    add_host: {h: 1.2.3.4, i: null}
    shm_size: '1024'
    cache_from: [a, b]
    labels: {x: true, y: null, z: 1.50}
    build_args: {A: null, b: ' '}
    no_cache: 'yes'
    empty: ''
    elist: []""")
case("options-sdk-names", "names of Docker's library", docker="build_config: {build_options: {buildargs: {A: b}, cachefrom: [x], nocache: true, shmsize: 5}}\nparent_image_build_config: {build_options: {buildargs: {C: d}}}\ndockerfile: own.docker", files=[f("own.docker", "FROM x\n")])
case("options-both-names", "both names at once", docker="build_config: {build_options: {buildargs: {A: b}, build_args: {C: d}}}")
case("options-wrong", "an option of the wrong type", docker="build_config: {build_options: {shm_size: big}}")
case("options-wrong-list", "cache_from is a list", docker="build_config: {build_options: {cache_from: x}}")
case("options-args-list", "build_args are a mapping", docker="build_config: {build_options: {build_args: [A=b]}}")
case("options-null", "options of null", docker="build_config: {build_options: null, dockerignore: null}")
case("options-empty", "options of nothing", docker="build_config: {}")
case("options-unknown", "an unknown key of a build configuration", docker="build_config: {buildoptions: {pull: true}}")
case("options-string", "a string in the place of a build configuration", docker="build_config: x")
case("options-shared", "ZenML changes pull in the settings themselves: the record and later steps", run="settings: {docker: {build_config: {build_options: {no_cache: true}}}}\nsteps: {train: {settings: {docker: {parent_image: 'x:1'}}}}\n")
case("options-old", "deprecated build_options do nothing", docker="build_options: {nocache: true, pull: 1}\ncopy_files: false\ncopy_global_config: false\nrequired_hub_plugins: [x]")
case("arg-env", "arguments stand before variables", docker="environment: {B: $A}\nbuild_config: {build_options: {build_args: {A: 1, 'b-c': 2}}}")

# A Dockerfile of the user's own.
case("own-crlf", "CRLF in a Dockerfile becomes LF", docker="dockerfile: own.docker", files=[f("own.docker", "FROM x\r\nRUN a\r\n")])
case("own-context", "a context with an ignore file of its own", docker="dockerfile: docker/own.docker\nbuild_context_root: docker\nparent_image_build_config: {dockerignore: docker/other, build_options: {target: t}}", files=[f("docker/own.docker", "FROM x\n"), f("docker/a", "a"), f("docker/b", "b"), f("docker/.dockerignore", "a\n"), f("docker/other", "b\n"), f("docker/.zen/x", "")])
case("own-context-default", "a context with a .dockerignore", docker="dockerfile: docker/own.docker\nbuild_context_root: docker", files=[f("docker/own.docker", "FROM x\n"), f("docker/a", "a"), f("docker/Dockerfile", "FROM other\n"), f("docker/.dockerignore", "a\nDockerfile\n")])
case("own-context-missing", "a context that does not exist", docker="dockerfile: own.docker\nbuild_context_root: nosuch", files=[f("own.docker", "FROM x\n")])
case("own-ignore-without-context", "an ignore file without a context", docker="dockerfile: own.docker\nparent_image_build_config: {dockerignore: nosuch}", files=[f("own.docker", "FROM x\n")])
case("own-is-dir", "a directory in the place of a Dockerfile", docker="dockerfile: own.docker", files=[d("own.docker")])
case("own-only-local", "only the user's own Dockerfile, no registry", docker="dockerfile: own.docker\n" + NOAPT, files=[f("own.docker", "FROM x\n")], stack=DOCKERD)
case("own-skip", "skip_build wins over a Dockerfile", docker="dockerfile: own.docker\nskip_build: true\nparent_image: a:1", files=[f("own.docker", "FROM x\n")])
case("own-steps", "steps with Dockerfiles of their own", run="settings: {docker: {dockerfile: own.docker, apt_packages: [git]}}\nsteps: {train: {settings: {docker: {dockerfile: other.docker}}}}\n", files=[f("own.docker", "FROM x\n"), f("other.docker", "FROM y\n")])
case("own-include", "sources on a Dockerfile of the user's own", docker="dockerfile: Dockerfile\n" + INCLUDE + "\nbuild_context_root: .", files=[f("Dockerfile", "FROM x\n"), f(".dockerignore", "*.md\nDockerfile\n"), f("a.md", ""), f("b.py", "")])
case("own-default-parent", "a base beside it that is ZenML's own gives no warning", docker="dockerfile: own.docker\nparent_image: zenmldocker/zenml:0.98.0-py3.11", files=[f("own.docker", "FROM x\n")])
case("own-bom", "a byte order mark in a Dockerfile", docker="dockerfile: own.docker", files=[f("own.docker", "\ufeffFROM x\n")])


def ignore(name, why, text, files=(), docker=INCLUDE, **more):
    case("ignore-" + name, why, docker=docker, files=[f(".dockerignore", text)] + list(files), stack=dict(DOCKERD), **more)


TREE = [f("a.py", "1"), f("b.txt", "2"), f("src/c.py", "3"), f("src/deep/d.py", "4"), f("src/deep/e.log", "5"), d("empty"), f("data/x.csv", "6")]
ignore("negations", "patterns that take back", "*\n!src\nsrc/deep\n!src/deep/d.py\n", TREE)
ignore("double-star", "patterns of any depth", "**/*.py\n!run.py\n!**/d.py\n", TREE)
ignore("double-star-mid", "in the middle", "src/**/e.log\n**/deep/*.py\ndata/**\n", TREE)
ignore("slashes", "slashes and dots at ends", "/src/\n./data\nempty/\n../x\n//b.txt\n", TREE)
ignore("bom", "a byte order mark spoils the first line", "\ufeffa.py\nb.txt\n", TREE)
ignore("crlf", "CRLF, blanks and comments", "a.py\r\n  b.txt  \r\n# src\r\n #data\r\n\r\n!\r\n", TREE)
ignore("classes", "sets of characters", "[ab].*\ndata/[!y].csv\nsrc/[c-d].py\n[\n[]\n[^s]*\n", TREE)
ignore("escapes", "a backslash escapes nothing", "\\a.py\nb\\.txt\nsrc\\c.py\na\\ b\n", TREE + [f("a b", "")])
ignore("case", "letters of both cases are one", "A.PY\nSRC/DEEP\n", TREE)
ignore("names-with-blanks", "names with blanks", "a b.txt\n*\\ *\n", TREE + [f("a b.txt", ""), f("c d.txt", ""), f("ü.txt", "")])
ignore("zen", ".zen always goes in", ".zen\n.*\n**\n", TREE)
ignore("question", "one character", "?.py\ns?c\n", TREE)
ignore("only-comments", "only comments", "# a\n\n", TREE)
ignore("dockerfile", "generated files are never ignored", "Dockerfile\n.zenml_*\n*\n", TREE + [f("Dockerfile", "FROM mine\n"), f("sub/Dockerfile", "x")], docker=INCLUDE + "\nrequirements: [a]")
ignore("explicit-missing", "an ignore file that is not there", "a.py\n", TREE, docker=INCLUDE + "\nbuild_config: {dockerignore: nosuch}")
ignore("explicit-wins", "the new key wins over the old", "a.py\n", TREE + [f("one", "b.txt\n"), f("two", "src\n")], docker=INCLUDE + "\nbuild_config: {dockerignore: one}\ndockerignore: two")
ignore("explicit-subdir", "it is looked for where the command runs", "a.py\n", TREE + [f("sub/one", "b.txt\n")], docker=INCLUDE + "\nbuild_config: {dockerignore: one}", cwd="sub")
ignore("steps", "steps with ignore files of their own", "a.py\n", TREE + [f("one", "b.txt\n")])
CASES[-1]["run"] = "settings: {docker: {allow_download_from_artifact_store: false}}\nsteps: {train: {settings: {docker: {build_config: {dockerignore: one}}}}}\n"
case("files-odd", "links, pipes and modes", docker=INCLUDE, stack=DOCKERD, files=[
    f("exe", "x", mode="0755"), f("secret", "x", mode="0600"), f("suid", "x", mode="4755"), f("sgid", "x", mode="2644"), f("none", "x", mode="0400"),
    d("sticky", mode="1777"), d("closed", mode="0700"), f("closed/in", "x"), link("ln", "exe"), link("dangling", "/nonexistent/x"), link("lndir", "closed"), link("up", "../outside"),
    dict(path="hard2", type="hardlink", target="exe"), dict(path="pipe", type="fifo"), f(".hidden", "h"), f("empty"), f(" lead", ""), f("new\nline", "")])
case("files-ignored-links", "links to what is ignored stay", docker=INCLUDE, stack=DOCKERD, files=[f("data/x", "x"), link("l", "data"), link("m", "data/x"), f(".dockerignore", "data\n")])
case("files-named-like-generated", "files named like ZenML's", docker=INCLUDE + "\nrequirements: [a]", stack=DOCKERD, files=[f(".zenml_user_requirements", "mine"), f(".zenml_integration_requirements", "mine"), f("Dockerfile", "FROM mine")])
case("files-no-zen", "without a repository the root is where the main file is", docker=INCLUDE, stack=DOCKERD, zen="", cwd=".", main="app/run.py", files=[f("a.py", "1"), f("app/b.py", "2")])
case("files-no-zen-cwd", "and not where the command runs", docker=INCLUDE, stack=DOCKERD, zen="", cwd="sub", main="../app/run.py", files=[f("app/b.py", "2"), f("sub/c.py", "")])
case("files-custom-root", "ZENML_CUSTOM_SOURCE_ROOT", docker=INCLUDE + "\ndisable_automatic_requirements_detection: false", stack=DOCKERD, env={"ZENML_CUSTOM_SOURCE_ROOT": "{ROOT}/app"}, main="app/run.py", files=[f("a.py", "1"), f("app/b.py", "2"), f("app/requirements.txt", "a\n")])
case("files-repository-path", "ZENML_REPOSITORY_PATH", docker=INCLUDE, stack=DOCKERD, zen="repo", env={"ZENML_REPOSITORY_PATH": "{ROOT}/repo"}, main="repo/run.py", files=[f("repo/a", ""), f("b", "")])
case("files-zen-above", "a repository above where the command runs", docker=INCLUDE + "\ndockerfile: own.docker\nbuild_context_root: .", stack=DOCKERD, cwd="a/b", main="run.py", files=[f("a/b/own.docker", "FROM x\n"), f("c", "")])
case("include-some-steps", "one step has the sources in it", run="steps: {train: {settings: {docker: {allow_download_from_artifact_store: false}}}}\n", files=[f("a.py", "1")])
case("include-none", "nothing is included or downloaded", docker="allow_download_from_artifact_store: false\nallow_including_files_in_images: false")
case("include-repository-only", "only a code repository would do, and there is none", docker="allow_download_from_artifact_store: false\nallow_including_files_in_images: false\nallow_download_from_code_repository: true\n" + NOAPT)
case("project-download", "a local project is included whatever else is said", docker="local_project_install_command: pip install --no-deps -e .[x]\nallow_download_from_artifact_store: true", files=[f("a.py", "1")], stack=DOCKERD)
case("project-user", "a local project, a user and a variable", docker="local_project_install_command: 'echo \"a\" && pip install . # x'\nuser: '1000:0'\nruntime_environment: {P: 'a b'}", stack=DOCKERD)
case("project-lines", "a command of two lines", docker='local_project_install_command: "a\\nRUN b"', stack=DOCKERD)
case("text-spaces", "blanks stay", docker="user: ' x '\nparent_image: ' a:1 '")
case("mixed-unknown", "unknown keys of every level", run="""settings: {docker: {usr: x, user: y, environmet: {A: 1}}}
steps: {train: {settings: {docker: {apt: [x], user: z}}}, nosuch: {settings: {docker: {user: w}}}}
""")
case("hundred-requirements", "many requirements keep their order", docker="requirements: [%s]" % ", ".join("p%d" % (i * 7 % 100) for i in range(100)))
case("anchors", "anchors and aliases", run="""settings:
  docker: &d
    environment: {A: 1}
    apt_packages: &apt [git, curl]
steps:
  train: {settings: {docker: {<<: *d, user: t}}}
  load: {settings: {docker: {apt_packages: *apt}}}
""")
case("documents", "a second document", run="settings: {docker: {user: a}}\n---\nsettings: {docker: {user: b}}\n")
case("yaml-bom", "a run configuration with a byte order mark and CRLF", run="\ufeffsettings:\r\n  docker:\r\n    user: a\r\n    environment: {A: 'x y'}\r\n")
case("yaml-tabs", "a tab where YAML has none", run="settings:\n\tdocker: {}\n")
case("yaml-json", "JSON is YAML", run='{"settings": {"docker": {"environment": {"A": 1.0, "B": "\\u00fc", "C": null}}}}')


def main():
    wanted = set(sys.argv[2:])
    for number, c in enumerate(CASES, 59):
        if not wanted or c["name"] in wanted:
            print(write(sys.argv[1], number, c))


if __name__ == "__main__":
    main()
