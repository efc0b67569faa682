"""Makes a project of a case in testdata/zenml/cases, so that it can be built for real.

    case.py CASE DIR BASE
    case.py --tags LAYOUT

DIR gets project (the case's files), run.yaml, stack.yaml, tools (the case's own pip, uv and poetry, for the PATH),
environment (the case's variables, NAME=VALUE, one a line) and arguments (of kanso, one a line). The base of every case is BASE. What else cannot exist is replaced, as ADAPTED says with
the reason, and is said on stdout; everything else is as in the case.
"""

import json
import os
import sys

# What is replaced, by case: file, text, what stands for it, why. Every text must be there.
ADAPTED = {
    "05": [
        ("run.yaml", "user: app", "user: games", "the base has no user app"),
        ("run.yaml", "http_proxy: http://p:1", "no_proxy: p,127.0.0.1", "there is no proxy p, so apt and pip would find nothing"),
        ("run.yaml", "LST: [a, 1, 'x y']", "LST: [a, 1]", "the Dockerfile that ZenML makes of it has a syntax error, as kanso says"),
    ],
    "16": [
        ("project/frozen.txt", "b==1\na==2\n", "tomli==2.0.1\niniconfig==2.0.0\n", "a and b are no packages"),
        ("project/frozen.txt", "-e git+https://x/y.git#egg=y\n", "", "there is no host x"),
        ("run.yaml", "[extra]", "[tabulate]", "extra is no package"),
    ],
    "19": [
        ("run.yaml", "https://x/simple", "https://pypi.org/simple", "there is no host x"),
        ("run.yaml", "no-cache-dir: true", "no-cache-dir: null", "uv takes no --no-cache-dir=True"),
        ("run.yaml", "[a, b]", "[tomli, iniconfig]", "a and b are no packages"),
    ],
    "20": [("run.yaml", "[a]", "[tomli]", "a is no package")],
    "26": [
        ("run.yaml", "torch==", "tomli==", "torch brings gigabytes, which cases 02 and 04 have already"),
        ("run.yaml", "@idx/simple", "@pypi.org/simple", "there is no host idx"),
    ],
    "21": [
        ("run.yaml", "[a]", "[tomli]", "a is no package"),
        ("run.yaml", "uv pip install .", "uv pip install iniconfig==2.0.0", "the project cannot be installed"),
    ],
    "25": [
        ("run.yaml", "[a]", "[tomli]", "a is no package"),
        ("run.yaml", "[b]", "[iniconfig]", "b is no package"),
    ],
    "57": [
        ("run.yaml", "[a]", "[tomli]", "a is no package"),
        ("run.yaml", "[b]", "[iniconfig]", "b is no package"),
    ],
    "23": [
        ("run.yaml", "tensorflow==2.8.0", "threadpoolctl==3.5.0", "no tensorflow for Python 3.11 is as old"),
    ],
    "46": [
        ("run.yaml", "deepchecks", "lightgbm", "what deepchecks 0.18 asks for can no longer be installed on Python 3.11 (it ends at scipy 1.6.1)"),
    ],
    "56": [
        ("run.yaml", "{system: null}", "{system: null, break-system-packages: null}", "the base's system has Debian's Python, which refuses without"),
    ],
}


def text_of(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    os.chmod(path, mode)


def lay_out(files, root):
    """The case's files; modes of directories last, since they may forbid what is done in them."""
    modes = []
    for f in files:
        path = os.path.join(root, f["path"])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if f["type"] == "dir":
            os.makedirs(path, exist_ok=True)
            modes.append((path, int(f["mode"], 8)))
        elif f["type"] == "symlink":
            os.symlink(f["target"], path)
        elif f["type"] == "file":
            write(path, f["content"], int(f["mode"], 8))
        else:
            sys.exit("%s: a %s is not expected here" % (path, f["type"]))
    for path, mode in reversed(modes):
        os.chmod(path, mode)


def main(case, out, base):
    os.umask(0o022)
    about = json.loads(text_of(os.path.join(case, "case.json")))
    for name in ("run.yaml", "stack.yaml"):
        write(os.path.join(out, name), text_of(os.path.join(case, name)))
    lay_out(about["files"], os.path.join(out, "project"))
    os.makedirs(os.path.join(out, "tools"), exist_ok=True)
    for name, script in about["tools"].items():
        write(os.path.join(out, "tools", name), script, 0o755)
    write(os.path.join(out, "environment"), "".join("%s=%s\n" % item for item in about["env"].items()))
    for name, old, new, why in ADAPTED.get(about["name"][:2], []):
        path = os.path.join(out, name)
        text = text_of(path)
        if old not in text:
            sys.exit("%s does not have %r any more" % (path, old))
        write(path, text.replace(old, new))
        print("  adapted: %s to %s, since %s" % (json.dumps(old), json.dumps(new), why))
    arguments = ["--base", base, "--config", os.path.join(out, "run.yaml"), "--stack", os.path.join(out, "stack.yaml"), "--main", about["main"]]
    arguments += ["--pipeline", about["pipeline"], "--zenml-version", about["zenml_version"], "--python", "3.11"]
    for step in about["steps"]:
        arguments += ["--step", step]
    write(os.path.join(out, "arguments"), "\n".join(arguments) + "\n")


def number(layout):
    """Images that several names have are numbered once."""
    path = os.path.join(layout, "index.json")
    index = json.loads(text_of(path))
    first = {}
    for m in index["manifests"]:
        first.setdefault(m["digest"], dict(m, annotations={"org.opencontainers.image.ref.name": "b%02d" % len(first)}))
    index["manifests"] = list(first.values())
    write(path, json.dumps(index))


if __name__ == "__main__":
    if sys.argv[1] == "--tags":
        number(sys.argv[2])
    else:
        main(*sys.argv[1:])
