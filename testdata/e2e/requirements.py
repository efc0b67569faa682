"""Builds images of awkward sets of requirements twice, from an earlier install and cold, and compares them.

    requirements.py --kanso FILE --base REF --work DIR [--jobs N] [NAME...]

Every case is a project whose requirements change. Its second image is built with the cache of the first and, in another
cache, from nothing: digests, and what a command sees in them, must be equal, and the report must say what was taken or why
all was installed together. Wheels and the index that serves them on loopback are made here.
"""
import argparse
import base64
import concurrent.futures
import hashlib
import http.server
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile

# What a command sees: all that there is, and contents of what is as old as kanso makes files.
SEES = ("cd / && find opt/venv app -printf '%p %y %m %U:%G %l %TY-%Tm-%TdT%TH:%TM:%TS' -a \\( -type f -printf ' %s' -o -true \\) -printf '\\n' | LC_ALL=C sort; "
        "find opt/venv app -type f -not -newermt 1980-01-02 -print0 | LC_ALL=C sort -z | xargs -0 sha256sum")


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def record(files, info):
    out = io.StringIO()
    for path, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        quoted = '"' + path.replace('"', '""') + '"' if re.search('[",]', path) else path
        out.write(f"{quoted},sha256={digest},{len(data)}\n")
    return (out.getvalue() + f"{info}/RECORD,,\n").encode()


def wheel(name, version, files=None, requires=(), entry="", tag="py3-none-any", build="", extras=(), python=""):
    """(file name, bytes). files: path → text or bytes; "NAME" in a path is the wheel's *.data directory."""
    stem = f"{re.sub('[-]', '_', name)}-{version}"
    info, data = f"{stem}.dist-info", f"{stem}.data"
    if files is None:
        module = normal(name).replace("-", "_")
        files = {f"{module}/__init__.py": f"VERSION = {version!r}\n", f"{module}/more.py": "def f(x):\n    return {'a': x, 'b': (1, 2, 'c')}\n"}
    everything = {p.replace("DATA", data): t if isinstance(t, bytes) else t.encode() for p, t in files.items()}
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *(f"Provides-Extra: {e}" for e in extras),
             *(f"Requires-Dist: {r}" for r in requires), *([f"Requires-Python: {python}"] if python else [])]
    everything[f"{info}/METADATA"] = ("\n".join(lines) + "\n").encode()
    everything[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n".encode()
    if entry:
        everything[f"{info}/entry_points.txt"] = entry.encode()
    everything[f"{info}/RECORD"] = record(everything, info)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for path, content in everything.items():
            member = zipfile.ZipInfo(path, (2020, 2, 2, 2, 2, 2))
            member.external_attr = (0o100755 if "/scripts/" in path or path.endswith(".run") else 0o100644) << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            z.writestr(member, content)
    return f"{stem}{'-' + build if build else ''}-{tag}.whl", out.getvalue()


BACKEND = '''
import os, shutil
def build_wheel(directory, settings=None, metadata=None):
    name = NAME
    shutil.copy(os.path.join(os.path.dirname(__file__), name), os.path.join(directory, name))
    return name
'''


def sdist(name, version):
    """A source distribution that builds without anything else."""
    built, data = wheel(name, version)
    stem, out = f"{name}-{version}", io.BytesIO()
    files = {"PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(), built: data,
             "pyproject.toml": b"[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
             + f"[project]\nname = '{name}'\nversion = '{version}'\n".encode(),
             "backend.py": BACKEND.replace("NAME", repr(built)).encode()}
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(f"{stem}/{path}")
            member.size, member.mtime = len(content), 1_600_000_000
            tar.addfile(member, io.BytesIO(content))
    return f"{stem}.tar.gz", out.getvalue()


def offers():
    """What the index has: (index, from which phase on, file name, bytes, attributes of the link)."""
    out = []

    def add(made, index="one", phase=0, attributes=""):
        out.append((index, phase, *made, attributes))
    for version in ("1.0", "1.5", "2.0", "3.0b1"):
        add(wheel("alpha", version), attributes='data-yanked="broken"' if version == "1.5" else "")
    for name in ("beta", "gamma", "Delta.Mix_ed"):
        add(wheel(name, "1.0"))
    for name in ("pandas", "pillow"):  # what ZenML's integrations of these names want
        add(wheel(name, "99.0"))
    add(wheel("alpha", "2.0", {"alpha/__init__.py": "OTHER = 1\n"}), "two")
    add(wheel("beta", "1.0"), "two")
    add(wheel("needs-alpha", "1.0", requires=["alpha"]))
    add(wheel("needs-old-alpha", "1.0", requires=["alpha<2"]))
    add(wheel("circle-a", "1.0", requires=["circle-b"]))
    add(wheel("circle-b", "1.0", requires=["circle-a"]))
    add(wheel("with-extra", "1.0", requires=["gamma; extra == 'more'"], extras=["more"], entry="[console_scripts]\nextra-tool = with_extra:f [more]\n"))
    add(wheel("tool", "1.0", entry="[console_scripts]\ntool = tool.more:f\ntool2=tool.more:f\n\n[gui_scripts]\ntoolw = tool.more:f\n"))
    for part in ("one", "two"):
        add(wheel(f"ns-{part}", "1.0", {f"nsp/{part}/__init__.py": "x = 1\n"}))
        add(wheel(f"pkgutil-{part}", "1.0", {"legacy/__init__.py": "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n",
                                             f"legacy/{part}.py": "x = 1\n"}))
    add(wheel("plugin", "1.0", {"alpha/plugin.py": "y = 2\n"}))
    add(wheel("base-plugin", "1.0", {"click/kanso_plugin.py": "y = 2\n"}))
    add(wheel("thief", "1.0", {"alpha/__init__.py": "STOLEN = 1\n", "thief.py": ""}))
    add(wheel("thief-of-base", "1.0", {"click/globals.py": "STOLEN = 1\n"}))
    add(wheel("pathy", "1.0", {"pathy.pth": "import sys\n", "pathy/__init__.py": ""}))
    add(wheel("scripted", "1.0", {"DATA/scripts/scripted": "#!python\nprint(1)\n", "scripted.py": ""}))
    add(wheel("dataful", "1.0", {"DATA/data/share/dataful/table.csv": "a,b\n", "DATA/data/etc/dataful.conf": "x\n", "dataful.py": "",
                                 "DATA/purelib/dataful_more.py": "z = 1\n", "DATA/headers/dataful.h": "int x;\n"}))
    add(wheel("odd-names", "1.0", {"odd/a b.py": "q = 1\n", "odd/c,d.txt": "1\n", 'odd/e"f.txt': "2\n", "odd/ü.txt": "3\n", "odd/__init__.py": "", "odd/run.run": "#!/bin/sh\n"}))
    add(wheel("modules", "1.0", {"module_m.py": "m = 1\n", "module_n.py": "n = 'x' * 3\n"}))
    add(wheel("broken-source", "1.0", {"broken_source/__init__.py": "", "broken_source/template.py": "this is { no python\n"}))
    add(wheel("many", "1.0", {f"many/m{i:03d}.py": f"def f{i}(x={i}):\n    return [{i}, 'name', x]\n" if i != 77 else "no python {" for i in range(150)}))
    add(wheel("big", "1.0", {"big/__init__.py": "", "big/weights.bin": b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(300_000))}))
    add(wheel("vendors", "1.0", {"vendors/__init__.py": "", "vendors/_vendor/inner.py": "", "vendors/_vendor/inner-9.dist-info/METADATA": "Name: inner\nVersion: 9\n",
                                 "vendors/_vendor/inner-9.dist-info/RECORD": "inner.py,,\n"}))
    add(wheel("old-name", "1.0", {"shared_name/__init__.py": "v = 'old'\n"}))
    add(wheel("new-name", "1.0", {"shared_name/__init__.py": "v = 'new'\n"}))
    add(wheel("ships-pyc", "1.0", {"ships_pyc/__init__.py": "p = 1\n", "ships_pyc/old.pyc": b"\x00" * 20}))
    add(wheel("click", "99.0", {"click/__init__.py": "v = 99\n"}))
    add(wheel("tagged", "1.0", {"tagged.py": "t = 1\n"}))
    add(wheel("tagged", "1.0", {"tagged.py": "t = 2\n"}, build="1"), phase=1)
    add(wheel("several", "1.0", {"several.py": "t = 1\n"}))
    add(wheel("several", "1.0", {"several.py": "t = 2\n"}, tag="py2-none-any"))
    add(wheel("published", "1.0"))
    add(wheel("published", "1.1"), phase=1)
    add(wheel("newest", "1.0", python=">=3"))
    add(wheel("newest", "2.0", python=">=9"))
    add(sdist("source", "1.0"))
    return out


def taken(*installed):
    return {"installed": list(installed)}


def joint(why):
    return {"joint": why}


ALONE = {}  # there is no earlier install to start from
# name, requirements before, requirements after, what is expected. {one} and {two} are indexes; options after "!" are the
# settings' arguments of the installer.
CASES = [
    ("one-more", "alpha gamma", "alpha gamma beta", taken("beta==1.0")),
    ("one-less", "alpha beta gamma", "alpha gamma", taken()),
    ("upgraded", "alpha<2 beta", "alpha>=2 beta", taken("alpha==2.0")),
    ("downgraded", "alpha beta", "alpha<2 beta", taken("alpha==1.0")),
    ("downgraded-by-another", "alpha beta", "alpha beta needs-old-alpha", taken("alpha==1.0", "needs-old-alpha==1.0")),
    ("dependency-becomes-requested", "needs-alpha beta", "needs-alpha beta alpha", {"pip": taken("alpha==2.0"), "uv": taken()}),
    ("requested-becomes-dependency", "needs-alpha beta alpha", "needs-alpha beta", {"pip": taken("alpha==2.0"), "uv": taken()}),
    ("new-dependency", "beta", "beta needs-alpha", taken("alpha==2.0", "needs-alpha==1.0")),
    ("console-scripts", "alpha", "alpha tool", taken("tool==1.0")),
    ("console-scripts-leave", "alpha tool", "alpha", taken()),
    ("extra", "with-extra alpha", "with-extra[more] alpha", taken("gamma==1.0")),
    ("circle", "alpha circle-a", "alpha circle-a circle-b", {"pip": taken("circle-b==1.0"), "uv": taken()}),
    ("namespace", "ns-one alpha", "ns-one alpha ns-two", taken("ns-two==1.0")),
    ("namespace-leaves", "ns-one ns-two", "ns-two", taken()),
    ("one-path-new", "alpha", "alpha pkgutil-one pkgutil-two", joint("owns a path")),
    ("one-path-shared", "alpha pkgutil-one", "alpha pkgutil-one pkgutil-two", joint("belongs to what was installed before")),
    ("one-path-before", "alpha pkgutil-one pkgutil-two", "alpha pkgutil-one pkgutil-two beta", joint("owns a path")),
    ("thief", "alpha beta", "alpha beta thief", joint("belongs to what was installed before")),
    ("thief-of-base", "alpha", "alpha thief-of-base", joint("replaces files")),
    ("plugin", "alpha beta", "alpha beta plugin", taken("plugin==1.0")),
    ("plugin-of-base", "alpha", "alpha base-plugin", taken("base-plugin==1.0")),
    ("pth", "alpha", "alpha pathy", joint(r"\.pth")),
    ("pth-before", "alpha pathy", "alpha pathy beta", taken("beta==1.0")),
    ("data-script", "alpha", "alpha scripted", joint("script")),
    ("data-script-before", "alpha scripted", "alpha scripted beta", taken("beta==1.0")),
    ("data-files", "alpha", "alpha dataful", taken("dataful==1.0")),
    ("odd-names", "alpha", "alpha odd-names", taken("odd-names==1.0")),
    ("odd-names-before", "alpha odd-names", "alpha odd-names beta", taken("beta==1.0")),
    ("modules", "modules alpha", "modules alpha tagged", taken("tagged==1.0")),
    ("modules-leave", "modules alpha tagged", "alpha tagged", taken()),
    ("no-python", "alpha", "alpha broken-source", taken("broken-source==1.0")),
    ("many", "alpha", "alpha many", taken("many==1.0")),
    ("many-before", "alpha many", "alpha many beta", taken("beta==1.0")),
    ("big", "alpha", "alpha big", taken("big==1.0")),
    ("big-before", "alpha big", "alpha big beta", taken("beta==1.0")),
    ("big-leaves", "alpha big beta", "alpha beta", taken()),
    ("vendored", "alpha", "alpha vendors", joint("inner")),
    ("renamed", "alpha old-name", "alpha new-name", taken("new-name==1.0")),
    ("ships-pyc", "alpha", "alpha ships-pyc", taken("ships-pyc==1.0")),
    ("base-upgraded", "alpha", "alpha click>=99", joint("click")),
    ("base-upgraded-before", "alpha click>=99", "alpha click>=99 beta", taken("beta==1.0")),
    ("base-upgraded-shared", "alpha click>=99 base-plugin", "alpha click>=99 base-plugin beta", taken("beta==1.0")),
    ("base-comes-back", "alpha click>=99", "alpha", joint("click")),
    ("source", "alpha", "alpha source", joint("source|no wheel")),
    ("source-before", "alpha source", "alpha source beta", ALONE),
    ("other-index", "-i {one}\nalpha==2.0\nbeta", "-i {two}\nalpha==2.0\nbeta", taken("alpha==2.0")),
    ("build-tag", "tagged alpha", "tagged alpha beta", taken("tagged==1.0", "beta==1.0")),
    ("published", "published alpha", "published alpha beta", taken("published==1.1", "beta==1.0")),
    ("several-wheels", "alpha", "alpha several", taken("several==1.0")),
    ("requires-python", "alpha", "alpha newest", taken("newest==1.0")),
    ("names", "Delta.Mix_ed alpha", "delta-mix-ed ALPHA", taken()),
    ("comments", "alpha\n# one\nbeta", "alpha # two\n\nbeta; python_version > '3'\ngamma; python_version < '3'", taken()),
    ("yanked", "alpha==1.5 beta", "alpha==1.5 beta gamma", taken("gamma==1.0")),
    ("yanked-now", "alpha<2 beta", "alpha==1.5 beta", taken("alpha==1.5")),
    ("pre-release", "alpha beta", "alpha==3.0b1 beta", taken("alpha==3.0b1")),
    ("url", "alpha", "alpha\nbeta @ {files}/beta-1.0-py3-none-any.whl", joint("not a name and versions")),
    ("constraint", "alpha", "-c {files}/constraints.txt\nalpha\nbeta", joint("have -c")),
    ("hashes", "alpha==2.0", "-i {one}\nalpha==2.0 --hash=sha256:{alpha}", joint("not a name and versions")),
    ("two-files", "+pandas alpha", "+pandas alpha beta", taken("beta==1.0")),
    ("first-of-two-files", "+pandas alpha", "+pandas +pillow alpha", ALONE),
    ("everything-else", "alpha", "beta gamma", joint("nothing of it")),
]
PHASED = ("build-tag", "published")
RACES = ("thief uv",)  # uv installs side by side: which of two wheels has a path that both own is chance


class Index(http.server.BaseHTTPRequestHandler):
    """/WORLD/one/simple/NAME/ and /WORLD/files/NAME. Each build has a world, so that what is published can change."""
    protocol_version = "HTTP/1.1"
    offers, phases = [], {}

    def log_message(self, *_):
        pass

    def do_GET(self):
        parts = self.path.strip("/").split("/")
        body = None
        if len(parts) == 4 and parts[2] == "simple":
            body = self.page(parts[0], parts[1], parts[3])
        elif parts[1:] == ["files", "constraints.txt"]:
            body = b"gamma<9\n"
        elif len(parts) == 3 and parts[1].startswith("files"):
            body = next((data for index, _, name, data, _ in self.offers if name == parts[2] and parts[1] in ("files", f"files-{index}")), None)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Type", "text/html" if parts[-1].find(".") < 0 else "application/octet-stream")
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body or b"")

    do_HEAD = do_GET

    def page(self, world, index, project):
        rows = [f'<a href="/{world}/files-{index}/{name}#sha256={hashlib.sha256(data).hexdigest()}" {attributes}>{name}</a>'
                for i, phase, name, data, attributes in self.offers
                if i == index and phase <= self.phases.get(world, 0) and normal(re.split(r"-\d", name)[0]) == project]
        return ("<!DOCTYPE html><html><body>" + "\n".join(rows) + "</body></html>").encode() if rows else None


class Case:
    def __init__(self, args, port, case, installer):
        self.args, self.installer = args, installer
        self.name, self.before, self.after, self.expected = case
        if self.expected and installer in self.expected:
            self.expected = self.expected[installer]
        self.title = f"{self.name} {installer}"
        self.dir = f"{args.work}/{self.name}-{installer}"
        self.world = f"http://127.0.0.1:{port}/{self.name}-{installer}"

    def requirements(self, text):
        """The lines, and the integrations, which have a file of their own: words with a plus."""
        lines = text.split("\n") if "\n" in text else text.split(" ")
        integrations = [line[1:] for line in lines if line.startswith("+")]
        lines = [line for line in lines if not line.startswith("+")]
        alpha = next(data for index, _, name, data, _ in Index.offers if index == "one" and name.startswith("alpha-2.0"))
        known = {"one": f"{self.world}/one/simple", "two": f"{self.world}/two/simple", "files": f"{self.world}/files", "alpha": hashlib.sha256(alpha).hexdigest()}
        lines = [re.sub(r"\{(\w+)\}", lambda m: known[m[1]], line) for line in lines]
        return (lines if lines[0].startswith("-i ") else [f"-i {known['one']}", *lines]), integrations

    def build(self, text, cache, out):
        config = f"{self.dir}/run.yaml"
        requirements, integrations = self.requirements(text)
        with open(config, "w", encoding="utf-8") as f:
            json.dump({"settings": {"docker": {
                "install_stack_requirements": False, "environment": {"CASE": self.title}, "allow_download_from_artifact_store": False,
                "python_package_installer": self.installer, "requirements": requirements, "required_integrations": integrations}}}, f)
        argv = [self.args.kanso, "build", "--progress", "plain", "--config", config, "--zenml-version", "0.98.0", "--python", "3.11", "--base", self.args.base,
                "--no-stack-config", "-t", "case:1", "-o", f"oci:{out}:1", "--metadata-file", f"{out}.json", f"{self.dir}/project"]
        done = subprocess.run(argv, env=environment(cache, self.world if integrations else ""), capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(f"build failed:\n{done.stdout}{done.stderr}")
        with open(f"{out}.json", encoding="utf-8") as f:
            image = json.load(f)["images"][0]
        install = [s for s in image["steps"] if s["kind"] == "install"][-1]
        return image["digest"], install.get("install") or {}, done.stdout + done.stderr

    def sees(self, cache, out):
        done = subprocess.run([self.args.kanso, "run", f"oci:{out}:1", "--", "sh", "-c", SEES], env=environment(cache),
                              capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(f"looking into {out} failed: {done.stderr}")
        return done.stdout

    def run(self):
        """What is wrong, empty for nothing."""
        os.makedirs(f"{self.dir}/project/.zen")
        with open(f"{self.dir}/project/run.py", "w", encoding="utf-8") as f:
            f.write("print(1)\n")
        warm, cold = f"{self.args.work}/warm", f"{self.args.work}/cold"  # of all cases, which have different environments
        try:
            first, told, _ = self.build(self.before, warm, f"{self.dir}/before")
            if told:
                return f"the first build says {told}"
            if self.name in PHASED:
                Index.phases[f"{self.name}-{self.installer}"] = 1
            second, told, log = self.build(self.after, warm, f"{self.dir}/after")
            whole, nothing, _ = self.build(self.after, cold, f"{self.dir}/whole")
            if self.title in RACES:
                return self.judge(told, log)
            if second != whole:
                return f"the image is {second} and, built cold, {whole}; {told}; {self.differences()}\n{log}"
            if nothing:
                return f"the cold build says {nothing}"
            if second == first and self.before != self.after:
                return "nothing has changed"
            if (a := self.sees(warm, f"{self.dir}/after")) != (b := self.sees(cold, f"{self.dir}/whole")):
                return "a command sees something else:\n" + "\n".join(sorted(set(a.splitlines()) ^ set(b.splitlines()))[:20])
            return self.judge(told, log)
        except AssertionError as e:
            return str(e)
        finally:
            if not os.environ.get("KEEP"):
                shutil.rmtree(self.dir)

    def judge(self, told, log):
        if self.expected == ALONE:
            return f"installed was {told}" if told else ""
        if "joint" in self.expected:
            if not re.search(self.expected["joint"], told.get("joint", "")) or "install everything together" not in log:
                return f"not all was installed together for want of {self.expected['joint']!r}: {told}\n{log}"
            return ""
        if told.get("joint") or not told.get("taken") or sorted(told.get("installed", [])) != sorted(self.expected["installed"]):
            return f"installed was {told}, want {self.expected['installed']}\n{log}"
        return ""

    def differences(self):
        lists = []
        for name in ("after", "whole"):
            with open(f"{self.dir}/{name}.json", encoding="utf-8") as f:
                lists.append({(layer.get("holds", ""), layer["digest"]) for layer in json.load(f)["images"][0]["layers"]})
        return sorted(lists[0] ^ lists[1])


def environment(cache, world=""):
    """Integrations' requirements name no index, so it is the machine's."""
    index = {name: f"{world}/one/simple" for name in ("PIP_INDEX_URL", "UV_INDEX_URL") if world}
    return {**{name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}, "KANSO_CACHE_DIR": cache, **index}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--kanso", "--base", "--work"):
        parser.add_argument(name, required=True)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    Index.offers = offers()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for cache in ("warm", "cold"):
        subprocess.run([args.kanso, "run", args.base, "--", "true"], env=environment(f"{args.work}/{cache}"), check=True)
    cases = [Case(args, server.server_port, case, installer) for case in CASES for installer in ("pip", "uv")
             if not args.names or case[0] in args.names]
    bad = []
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for case, wrong in zip(cases, pool.map(Case.run, cases)):
            print(f"  {'FAIL' if wrong else 'ok:'} {case.title}{': ' + wrong if wrong else ''}", flush=True)
            if wrong:
                bad.append(case.title)
    if bad:
        sys.exit(f"{len(bad)} of {len(cases)} cases: {', '.join(bad)}")
    print(f"{len(cases)} builds from an earlier install are what cold ones are")


if __name__ == "__main__":
    main()
