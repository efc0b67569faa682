"""The builders. A build is a list of commands that are timed together."""
import json
import os
import re
import shutil
import subprocess
import time

from common import BASE, DISKS, ENV, INDEX, REGISTRY, USER, WORK, Unsupported, program
from measure import process_table
from services import end

STATE_BYTES = 30 << 30  # the size of a state's file system; the file is sparse


class Tool:
    name = ""
    remote_only = False  # keeps nothing between builds but its registry cache
    cache_tag = False    # its registry cache is one tag, which a build overwrites

    def __init__(self):
        self.state = ""
        self.children = []

    def version(self):
        return ""

    def reset(self):
        """Begin with an empty state directory, in a file system of its own if BENCH_DISKS says where to keep those.

        So no tool finds what an earlier build has left: where many files were deleted ext4 creates new ones up to ten times
        slower for minutes, as it steps over each inode that was freed, and pages of files that nobody reads again are in the way.
        """
        self.drop()
        self.state = f"{WORK}/state/{self.name}-{time.strftime('%H%M%S')}-{len(os.listdir(f'{WORK}/state'))}"
        os.makedirs(self.state)
        if DISKS:
            disk = f"{DISKS}/{os.path.basename(self.state)}"
            with open(disk, "wb") as f:
                f.truncate(STATE_BYTES)
            subprocess.run(["mkfs.ext4", "-q", "-N", "1000000", "-E", "lazy_itable_init=0,lazy_journal_init=0", disk], check=True)
            subprocess.run(["mount", "-o", "loop", disk, self.state], check=True)
            source = subprocess.run(["findmnt", "-n", "-o", "SOURCE", self.state], check=True, capture_output=True, text=True).stdout.strip()
            subprocess.run(["losetup", "--direct-io=on", source], check=False)  # else all is cached twice
            os.remove(disk)  # the mount keeps it
            os.chmod(self.state, 0o755)
        self.start()

    def drop(self):
        """Stop, and give back what the state takes."""
        self.stop()
        if DISKS and self.state:
            if subprocess.run(["umount", "-R", self.state], check=False).returncode:
                subprocess.run(["umount", "-l", self.state], check=True)
        self.state = ""

    def start(self):
        pass

    def stop(self):
        for process in self.children:
            end(process.pid)
        self.children = []

    def daemons(self):
        return [p.pid for p in self.children]

    def popen(self):
        return {}

    def prepare(self, project):
        """Untimed work before each build."""

    def build(self, project, target, cache):
        raise NotImplementedError

    def daemon(self, argv, ready):
        """Start a daemon; it runs before the clock does."""
        log = f"{WORK}/log/{self.name}-daemon.log"
        started = time.monotonic()
        with open(log, "ab") as f:
            process = subprocess.Popen(argv, stdout=f, stderr=f, stdin=subprocess.DEVNULL, start_new_session=True)
        self.children.append(process)
        while subprocess.run(ready, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
            if process.poll() is not None or time.monotonic() - started > 60:
                raise Unsupported(f"{argv[0]} did not start, see {log}")
            time.sleep(0.05)


def words(argv):
    """The version in what a program says of itself."""
    out = subprocess.run(argv, capture_output=True, text=True).stdout
    found = re.search(r"v?\d+\.\d+[\w.+-]*|kanso \S+", out)
    return found[0] if found else out.strip()


class Kanso(Tool):
    """kanso with the Dockerfile that the others get."""
    name = "kanso"

    def __init__(self):
        super().__init__()
        self.program = program("KANSO", "kanso")

    def version(self):
        return words([self.program, "version"])

    def popen(self):
        return {"env": {**ENV, "KANSO_CACHE_DIR": f"{self.state}/cache", "PIP_INDEX_URL": INDEX, "UV_INDEX_URL": INDEX}}

    def what(self, project):
        return ["-f", project.dockerfile]

    def build(self, project, target, cache):
        argv = [self.program, "build", "--progress", "plain", *self.what(project), "-t", target, "--push"]
        if cache:
            argv += ["--cache-from", target.rpartition(":")[0] + ":primed"]
        return [argv + [project.context]]


class KansoSettings(Kanso):
    """kanso with ZenML settings that ask for the same image."""
    name = "kanso-settings"

    def what(self, project):
        return ["--config", project.settings, "--zenml-version", "0.98.0", "--python", "3.11", "--base", BASE, "--no-stack-config"]


class Buildkit(Tool):
    """A standalone buildkitd, driven by buildctl."""
    name = "buildkit"
    cache_tag = True

    def version(self):
        control = program("BUILDCTL", "buildctl")
        beside = os.path.join(os.path.dirname(control), "version")  # what testdata/tools builds does not know its own
        if os.path.exists(beside):
            with open(beside) as f:
                return f.read().strip()
        return words([control, "--version"])

    def start(self):
        self.address = f"unix://{self.state}/sock"
        with open(f"{self.state}/buildkitd.toml", "w") as f:
            f.write(f'[registry."{REGISTRY}"]\n  http = true\n')
        self.control = [program("BUILDCTL", "buildctl"), "--addr", self.address]
        self.daemon([program("BUILDKITD", "buildkitd"), "--root", f"{self.state}/root", "--addr", self.address,
                     "--config", f"{self.state}/buildkitd.toml", "--oci-worker-net", "host", "--containerd-worker=false",
                     *ENV.get("BUILDKITD_FLAGS", "").split()], self.control + ["debug", "workers"])

    def build(self, project, target, cache):
        argv = self.control + [
            "build", "--progress", "plain", "--frontend", "dockerfile.v0", "--local", f"context={project.context}",
            "--local", f"dockerfile={os.path.dirname(project.dockerfile)}", "--opt",
            f"filename={os.path.basename(project.dockerfile)}", "--output", f"type=image,name={target},push=true"]
        if cache:
            argv += ["--import-cache", f"type=registry,ref={cache}", "--export-cache", f"type=registry,mode=min,ref={cache}"]
        return [argv]


class Docker(Tool):
    """The Docker daemon with its own BuildKit; the cache comes inside the pushed image."""
    name = "docker"

    def version(self):
        return words([program("DOCKERD", "dockerd"), "--version"])

    def start(self):
        address = f"unix://{self.state}/docker.sock"
        self.client = [program("DOCKER", "docker"), "-H", address]
        self.daemon([program("DOCKERD", "dockerd"), "--host", address, "--data-root", f"{self.state}/data",
                     "--exec-root", f"{self.state}/exec", "--pidfile", f"{self.state}/pid", "--bridge=none",
                     "--iptables=false", "--ip-forward=false"], self.client + ["version"])

    def daemons(self):
        found = super().daemons()
        return found + [p for p, (parent, comm, _) in process_table().items() if parent in found and comm == "containerd"]

    def popen(self):
        return {"env": {**ENV, "DOCKER_BUILDKIT": "1"}}

    def build(self, project, target, cache):
        argv = self.client + ["build", "--progress", "plain", "--network", "host", "-f", project.dockerfile, "-t", target]
        if cache:
            argv += ["--cache-from", target.rpartition(":")[0] + ":primed", "--build-arg", "BUILDKIT_INLINE_CACHE=1"]
        return [argv + [project.context], self.client + ["push", "-q", target]]


class Buildah(Tool):
    """Rootless buildah with the kernel's overlayfs."""
    name = "buildah"

    def version(self):
        return words([program("BUILDAH", "buildah"), "--version"])

    def start(self):
        program("BUILDAH", "buildah")
        if not USER:
            raise Unsupported("BENCH_USER is to name an account with subordinate ids")
        for d in ("run", "home", "tmp"):
            os.makedirs(f"{self.state}/{d}")
        with open(f"{self.state}/storage.conf", "w") as f:
            f.write(f'[storage]\ndriver = "overlay"\ngraphroot = "{self.state}/storage"\n'
                    f'rootless_storage_path = "{self.state}/storage"\nrunroot = "{self.state}/run"\n')
        with open(f"{self.state}/policy.json", "w") as f:
            f.write('{"default": [{"type": "insecureAcceptAnything"}]}\n')
        subprocess.run(["chown", "-R", USER, self.state], check=True)

    def popen(self):
        return {"user": USER, "group": USER, "extra_groups": [], "cwd": self.state, "env": {
            "PATH": ENV["PATH"], "HOME": f"{self.state}/home", "XDG_RUNTIME_DIR": f"{self.state}/run",
            "TMPDIR": f"{self.state}/tmp", "CONTAINERS_STORAGE_CONF": f"{self.state}/storage.conf",
            "USER": USER, "BUILDAH_ISOLATION": ENV.get("BUILDAH_ISOLATION", "chroot")}}

    def build(self, project, target, cache):
        buildah, policy = program("BUILDAH", "buildah"), ["--signature-policy", f"{self.state}/policy.json"]
        argv = [buildah, "build", *policy, "--layers", "--network", "host", "--tls-verify=false", "-f", project.dockerfile, "-t", target]
        if cache:
            repository = cache.rpartition(":")[0]
            argv += ["--cache-from", repository, "--cache-to", repository]
        return [argv + [project.context], [buildah, "push", *policy, "--tls-verify=false", target]]


class Kaniko(Tool):
    """kaniko, each time in a new container with nothing but its executor in it."""
    name = "kaniko"
    remote_only = True
    extra = ENV.get("KANIKO_FLAGS", "--snapshot-mode=redo --use-new-run --compressed-caching=false").split()

    def version(self):
        return words([program("KANIKO", "kaniko-executor"), "version"])

    def start(self):
        program("KANIKO", "kaniko-executor")

    def prepare(self, project):
        bundle = self.bundle = f"{self.state}/bundle-{time.monotonic_ns()}"
        for d in ("kaniko/.docker", "proc", "dev", "sys", "tmp", "etc", "workspace", "dockerfile"):
            os.makedirs(f"{bundle}/rootfs/{d}")
        shutil.copy(program("KANIKO", "kaniko-executor"), f"{bundle}/rootfs/kaniko/executor")

    def build(self, project, target, cache):
        args = ["/kaniko/executor", "--force", "--context", "dir:///workspace", "--dockerfile",
                f"/dockerfile/{os.path.basename(project.dockerfile)}", "--destination", target, "--insecure",
                "--insecure-pull", "--insecure-registry", REGISTRY, *self.extra]
        if cache:
            args += ["--cache=true", "--cache-repo", cache.rpartition(":")[0]]
        caps = ("CAP_CHOWN CAP_DAC_OVERRIDE CAP_FSETID CAP_FOWNER CAP_MKNOD CAP_NET_RAW CAP_SETGID CAP_SETUID "
                "CAP_SETFCAP CAP_SETPCAP CAP_NET_BIND_SERVICE CAP_SYS_CHROOT CAP_KILL CAP_AUDIT_WRITE").split()
        bind = ["rbind", "ro", "nosuid", "nodev"]

        def mount(destination, source):
            return {"destination": destination, "type": "bind", "source": source, "options": bind}
        config = {
            "ociVersion": "1.0.2", "hostname": "kaniko", "root": {"path": "rootfs", "readonly": False},
            "process": {"user": {"uid": 0, "gid": 0}, "args": args, "cwd": "/workspace", "terminal": False,
                        "env": ["PATH=/usr/local/bin:/usr/bin:/bin:/kaniko", "HOME=/root", "USER=root", "DOCKER_CONFIG=/kaniko/.docker/"],
                        "capabilities": {k: caps for k in ("bounding", "effective", "permitted")}},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
                mount("/workspace", project.context), mount("/dockerfile", os.path.dirname(project.dockerfile)),
                mount("/etc/resolv.conf", "/etc/resolv.conf"),
            ],
            "linux": {"namespaces": [{"type": t} for t in ("pid", "mount", "ipc", "uts")]},
        }
        with open(f"{self.bundle}/config.json", "w") as f:
            json.dump(config, f)
        return [[program("CRUN", "crun"), "run", "--bundle", self.bundle, f"bench-kaniko-{os.getpid()}"]]


def tools(names):
    known = {c.name: c for c in (Kanso, KansoSettings, Buildkit, Docker, Buildah, Kaniko)}
    return [known[n]() for n in names]
