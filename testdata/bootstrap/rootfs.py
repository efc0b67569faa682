"""The root file system of a base: what is installed in it and what is taken out again.

Nothing of the machine that makes it stays in it: name resolution, certificates
and the settings of package managers are lent for each step and removed after it.
"""

import glob
import os
import shutil
import subprocess
import time

SOURCES = """Types: deb
URIs: http://deb.debian.org/debian
Suites: {suite} {suite}-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://deb.debian.org/debian-security
Suites: {suite}-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
LENT_BUNDLE = "/run/lent-ca.crt"

# Variables by which package managers find their index; paths of the host are not among them.
LENT_VARIABLES = (
    "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "all_proxy",
    "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST",
    "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_INSECURE_HOST",
)

# What a step leaves that does not belong into an image.
LITTER = (
    "etc/resolv.conf", "etc/hosts", "etc/hostname", "etc/apt/sources.list", "etc/apt/apt.conf.d/99lent",
    "etc/.pwd.lock", "var/lib/dpkg/lock*", "var/lib/dpkg/*-old", "var/cache/debconf/*-old", "var/lib/dbus/machine-id",
    "var/cache/apt/*.bin", "var/cache/apt/archives/*.deb", "var/cache/apt/archives/lock",
    "var/cache/apt/archives/partial/*", "var/cache/ldconfig/aux-cache", "var/lib/apt/lists/*",
    "var/log/*.log", "var/log/apt/*", "usr/sbin/policy-rc.d", "run/*", "tmp/*", "root/.cache", "root/.local",
)


class Root:
    """A root file system under construction."""

    def __init__(self, path, suite):
        self.path = path
        self.suite = suite
        self.started = time.time()
        self._epoch = None

    def debootstrap(self):
        subprocess.run(
            ["debootstrap", "--variant=minbase", "--include=ca-certificates,netbase,tzdata", self.suite,
             self.path, self.mirror("debian")],
            check=True, stdout=subprocess.DEVNULL, env=host_environment())

    def install_python(self):
        self.lend()
        self.chroot("apt-get", "-q", "update")
        self.chroot("apt-get", "-q", "-y", "upgrade")
        self.chroot("apt-get", "-q", "-y", "install", "--no-install-recommends",
                    "python3", "python3-pip", "python3-venv")

    def install_venv(self, zenml, environment):
        """The commands of ZenML's docker/base.Dockerfile, target client."""
        self.lend()
        self.chroot("/usr/bin/python3", "-m", "venv", "/opt/venv")
        self.chroot("pip", "install", "-q", "--upgrade", "pip", "setuptools", "uv", env=environment)
        if zenml:
            self.chroot("uv", "pip", "install", "-q", "--no-cache-dir", f"zenml=={zenml}", env=environment)
        directory = os.path.join(self.path, "zenml")
        os.makedirs(directory, exist_ok=True)
        frozen = self.chroot("pip", "freeze", env=environment, capture=True)
        with open(os.path.join(directory, "requirements.txt"), "w", encoding="utf-8") as out:
            out.write(frozen)

    def chroot(self, *command, env=None, capture=False):
        variables = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive",
            "PIP_ROOT_USER_ACTION": "ignore", "UV_LINK_MODE": "copy", "UV_PYTHON_DOWNLOADS": "never",
        }
        variables.update(env or {})
        variables.update({"SOURCE_DATE_EPOCH": str(self.epoch()), "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"})
        variables.update(lent_variables(self.path))
        result = subprocess.run(
            ["chroot", self.path, *command], check=True, env=variables, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if capture else subprocess.DEVNULL)
        return result.stdout

    def lend(self):
        """Lends the machine's name resolution, certificates, mirrors and indexes to a step."""
        for name in ("etc/resolv.conf", "etc/hosts"):
            self.borrow("/" + name, name)
        self.borrow(BUNDLE, LENT_BUNDLE)
        self.borrow(first("~/.config/pip/pip.conf", "~/.pip/pip.conf", "/etc/pip.conf"), "run/lent-pip.conf")
        self.borrow(first("~/.config/uv/uv.toml", "/etc/uv/uv.toml"), "run/lent-uv.toml")
        text = SOURCES.format(suite=self.suite)
        for name in ("debian-security", "debian"):
            text = text.replace(f"http://deb.debian.org/{name}\n", self.mirror(name) + "\n")
        self.write("etc/apt/sources.list.d/debian.sources", text)
        self.write("etc/apt/apt.conf.d/99lent", apt_settings())
        self.write("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)

    def clean(self):
        """Takes back what was lent and removes what a step left behind."""
        for pattern in LITTER:
            for path in glob.glob(os.path.join(self.path, pattern), include_hidden=True):
                if os.path.isdir(path) and not os.path.islink(path):
                    shutil.rmtree(path)
                else:
                    os.remove(path)
        for path in ("run/lock", "var/lib/apt/lists/partial"):
            os.makedirs(os.path.join(self.path, path), exist_ok=True)
        os.chmod(os.path.join(self.path, "run/lock"), 0o1777)
        self.write("etc/machine-id", "")
        self.write("etc/apt/sources.list.d/debian.sources", SOURCES.format(suite=self.suite))
        self.fix_password_dates()

    def fix_password_dates(self):
        """The day a password was last changed is the day of the bootstrap: use the suite's instead."""
        for name in ("etc/shadow", "etc/shadow-"):
            path = os.path.join(self.path, name)
            if os.path.exists(path):
                with open(path, encoding="ascii") as file:
                    rows = [line.split(":") for line in file]
                for row in rows:
                    row[2] = str(self.epoch() // 86400)
                self.write(name, "".join(":".join(row) for row in rows))

    def write(self, name, text, mode=None):
        path = os.path.join(self.path, name.lstrip("/"))
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                if file.read() == text:
                    return
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        if mode is not None:
            os.chmod(path, mode)

    def borrow(self, source, name):
        target = os.path.join(self.path, name.lstrip("/"))
        if source and os.path.exists(source):
            if os.path.lexists(target):
                os.remove(target)
            shutil.copyfile(source, target)

    def epoch(self):
        """The time of everything that the bootstrap itself wrote: the suite's own release date."""
        if self._epoch is None:
            if os.environ.get("SOURCE_DATE_EPOCH"):
                self._epoch = int(os.environ["SOURCE_DATE_EPOCH"])
            else:
                self._epoch = int(os.stat(os.path.join(self.path, "etc/debian_version")).st_mtime)
        return self._epoch

    def python_version(self):
        return os.readlink(os.path.join(self.path, "usr/bin/python3")).removeprefix("python")

    def architecture(self):
        return self.chroot("dpkg", "--print-architecture", capture=True).strip()

    def mirror(self, name):
        """The address from which this machine's apt gets Debian, else Debian's own."""
        command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)"]
        suite = self.suite + ("-security" if name == "debian-security" else "")
        if shutil.which("apt-get"):
            out = subprocess.run(command, check=False, capture_output=True, text=True).stdout
            for line in out.splitlines():
                address, _, codename = line.partition(" ")
                if codename == suite and address.startswith("http") and f"/{name}" in address:
                    return address.rstrip("/")
        return f"http://deb.debian.org/{name}"


def host_environment():
    kept = {k: v for k, v in os.environ.items() if k in LENT_VARIABLES or k.startswith("SSL_CERT_")}
    return {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": "/root", **kept}


def lent_variables(root):
    variables = {k: v for k, v in os.environ.items() if k in LENT_VARIABLES}
    if os.path.exists(root + LENT_BUNDLE):
        for name in ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            variables[name] = LENT_BUNDLE
    for name, path in (("PIP_CONFIG_FILE", "/run/lent-pip.conf"), ("UV_CONFIG_FILE", "/run/lent-uv.toml")):
        if os.path.exists(root + path):
            variables[name] = path
    return variables


def apt_settings():
    """How this machine's apt reaches its mirrors, with our copy of the certificates."""
    out = ""
    if shutil.which("apt-config"):
        out = subprocess.run(["apt-config", "dump"], check=False, capture_output=True, text=True).stdout
    lines = [line for line in out.splitlines()
             if line.lower().startswith(("acquire::http::proxy", "acquire::https::proxy"))]
    lines.append(f'Acquire::https::CAInfo "{LENT_BUNDLE}";')
    return "\n".join(lines) + "\n"


def first(*paths):
    for path in map(os.path.expanduser, paths):
        if os.path.exists(path):
            return path
    return None
