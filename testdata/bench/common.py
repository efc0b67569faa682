"""Names and places that all of it shares. The programs and places come from the environment; bench.sh sets them."""
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ENV = os.environ
WORK = os.path.abspath(ENV.get("BENCH_WORK", "bench-work"))
DISKS = ENV.get("BENCH_DISKS", "")  # a directory for the file systems of the tools' states; needs root
HOST = "127.0.0.1"
PORT = int(ENV.get("BENCH_PORT", "5600"))  # the proxy; PORT+1 is the registry, PORT+2 the counters
INDEX_PORT = int(ENV.get("BENCH_INDEX_PORT", "8766"))
REGISTRY = f"{HOST}:{PORT}"
INDEX = f"http://{HOST}:{INDEX_PORT}/simple/"
BASE = f"{REGISTRY}/zenmldocker/zenml:latest"
USER = ENV.get("BENCH_USER", "")  # an account with subordinate ids, for rootless tools


class Unsupported(Exception):
    """A tool is not there, or cannot do this."""


def program(variable, name):
    path = ENV.get(variable) or shutil.which(name)
    if not path:
        raise Unsupported(f"{name} is not there")
    return path


def say(*words):
    print(*words, file=sys.stderr, flush=True)
