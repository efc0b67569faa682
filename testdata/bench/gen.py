#!/usr/bin/env python3
"""Deterministic inputs for the speed harness: a ZenML-like project and a torch-like wheel.

    gen.py project DIR          2,000 source files, 21 MB with data, plus .git and .venv that must be ignored
    gen.py wheel DIR            torchlike-1.0-py3-none-any.whl: 20,000 files, 1.5 GB, half of it compressible
    gen.py data DIR BYTES       files of 64 MB, half of it compressible, until there are so many bytes; those there stay

The same arguments always give the same bytes. The standard library is all it needs.
"""
import argparse
import base64
import hashlib
import os
import random
import sys
import zipfile

EPOCH = 1_700_000_000
IGNORE = ".git\n.venv\n**/__pycache__\n*.log\n"
WORDS = ("step pipeline artifact model data frame load save train score split fold metric loss batch epoch "
         "config client stack store run cache value index column feature label path name result").split()


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


def source(rng, size):
    """Text that looks and compresses like Python source, at least size bytes long."""
    out = ["import os\nimport typing\n\nfrom zenml import step\n\n"]
    length = len(out[0])
    while length < size:
        a, b, c, d = (rng.choice(WORDS) for _ in range(4))
        part = (f"@step\ndef {a}_{b}_{rng.randrange(10**6)}({c}: int = {rng.randrange(1000)}) -> float:\n"
                f'    """{" ".join(rng.choice(WORDS) for _ in range(9))}."""\n'
                f"    {d} = {c} * {rng.random():.6f}\n    return float({d} + {rng.randrange(10**4)})\n\n\n")
        out.append(part)
        length += len(part)
    return "".join(out).encode()


def half(rng, size):
    """Bytes of which about one half compresses away."""
    block = (" ".join(rng.choice(WORDS) for _ in range(64)) + "\n").encode()
    out = bytearray()
    while len(out) < size:
        out += rng.randbytes(4096)
        out += (block * (4096 // len(block) + 1))[:4096]
    return bytes(out[:size])


def project(root):
    rng = random.Random(1)
    write(f"{root}/.dockerignore", IGNORE.encode())
    write(f"{root}/README.md", b"# A project\n")
    write(f"{root}/run.py", source(rng, 3000))
    write(f"{root}/app.log", b"ignored\n" * 1000)
    for i in range(1988):
        package = f"{root}/src/team_{i % 8}/package_{i % 61:02d}"
        write(f"{package}/module_{i:04d}.py", source(rng, rng.randrange(1000, 9000)))
    for i in range(200):
        write(f"{root}/src/team_{i % 8}/__pycache__/module_{i:04d}.cpython-311.pyc", rng.randbytes(3000))
    for i in range(8):
        rows = [f"{n},{rng.random():.8f},{rng.random():.8f},{rng.choice(WORDS)}" for n in range(24_000)]
        write(f"{root}/data/table_{i}.csv", ("id,x,y,label\n" + "\n".join(rows) + "\n").encode())
    write(f"{root}/data/weights.bin", rng.randbytes(4_300_000))
    write(f"{root}/.zen/config.yaml", b"active_project_id: null\nactive_stack_id: null\n")
    for _ in range(3000):
        name = rng.randbytes(20).hex()
        write(f"{root}/.git/objects/{name[:2]}/{name[2:]}", rng.randbytes(rng.randrange(100, 3000)))
    write(f"{root}/.git/HEAD", b"ref: refs/heads/main\n")
    for i in range(5000):
        write(f"{root}/.venv/lib/python3.11/site-packages/package_{i % 97:02d}/file_{i:04d}.py",
              half(rng, rng.randrange(1000, 59_000)))
    for base, dirs, files in os.walk(root, topdown=False):
        for name in files + dirs:
            os.utime(os.path.join(base, name), (EPOCH, EPOCH), follow_symlinks=False)


def wheel(directory, files=20_000, total=1_500_000_000, big=20, big_size=50_000_000):
    rng = random.Random(2)
    small = (total - big * big_size) // (files - big)
    name, info = "torchlike", "torchlike-1.0.dist-info"
    record = []
    os.makedirs(directory, exist_ok=True)
    path = f"{directory}/{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path + ".part", "w", zipfile.ZIP_DEFLATED, compresslevel=4) as z:
        def add(member, data):
            entry = zipfile.ZipInfo(member, (2023, 11, 14, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            z.writestr(entry, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(f"{member},sha256={digest},{len(data)}")
        add(f"{name}/__init__.py", b"__version__ = '1.0'\n")
        for i in range(big):
            add(f"{name}/lib/libtorchlike_{i:02d}.so", half(rng, big_size))
        for i in range(files - big - 1):
            kind = "py" if i % 10 == 0 else "h"
            size = rng.randrange(1000, 2 * small - 1000)
            body = source(rng, min(size, 12_000)) if kind == "py" else half(rng, size)
            add(f"{name}/include/part_{i % 200:03d}/{'m' if kind == 'py' else 'file'}_{i:05d}.{kind}", body)
        add(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode())
        add(f"{info}/WHEEL", b"Wheel-Version: 1.0\nGenerator: gen\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        record.append(f"{info}/RECORD,,")
        entry = zipfile.ZipInfo(f"{info}/RECORD", (2023, 11, 14, 0, 0, 0))
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = 0o644 << 16
        z.writestr(entry, "\n".join(record) + "\n")
    os.replace(path + ".part", path)
    print(path, os.path.getsize(path))


def data(directory, total, size=64_000_000):
    for i in range(-(-total // size)):
        path = f"{directory}/part_{i:05d}.bin"
        if not os.path.exists(path):
            write(path + ".part", half(random.Random(i), min(size, total - i * size)))
            os.replace(path + ".part", path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("project", "wheel", "data"))
    parser.add_argument("dir")
    parser.add_argument("bytes", nargs="?", type=int, default=0)
    args = parser.parse_args()
    if args.what == "data":
        return data(args.dir, args.bytes)
    {"project": project, "wheel": wheel}[args.what](args.dir)


if __name__ == "__main__":
    sys.exit(main())
