"""What a command costs: time, memory of its process tree, bytes and requests."""
import os
import re
import subprocess
import threading
import time

from common import ENV, WORK, Unsupported
from services import counters

STEP = re.compile(r"^(python|pip|uv$|sh$|bash$|chmod$|runc|crun)")  # what a build runs, not the builder


def process_table():
    table = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as f:
                    text = f.read()
            except OSError:
                continue
            comm, rest = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 2:].split()
            table[int(name)] = (int(rest[1]), comm, int(rest[21]) * 4096)
    return table


class Sampler(threading.Thread):
    """The peak resident memory, summed over process trees; a build's own commands (pip, ...) are kept apart."""

    def __init__(self, roots):
        super().__init__(daemon=True)
        self.roots, self.done = list(roots), threading.Event()
        self.tree = self.builder = 0

    def run(self):
        started = time.time()
        while not self.done.wait(0.02 if time.time() - started < 2 else 0.1):
            self.sample()

    def sample(self):
        table = process_table()
        inside = {p for p in self.roots if p in table}
        grew = True
        while grew:
            grew = False
            for pid, (parent, _, _) in table.items():
                if parent in inside and pid not in inside:
                    inside.add(pid)
                    grew = True
        self.tree = max(self.tree, sum(table[p][2] for p in inside))
        self.builder = max(self.builder, sum(table[p][2] for p in inside if not STEP.match(table[p][1])))


def cpu_of(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            rest = f.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(x) for x in rest[11:15]) / os.sysconf("SC_CLK_TCK")


def busy(seconds=0.4):
    """The share of all cores in use right now."""
    def read():
        with open("/proc/stat") as f:
            numbers = [int(x) for x in f.readline().split()[1:9]]
        return sum(numbers), numbers[3] + numbers[4]
    a = read()
    time.sleep(seconds)
    b = read()
    return 1 - (b[1] - a[1]) / max(1, b[0] - a[0])


def quiet(limit=0.15, patience=int(ENV.get("BENCH_PATIENCE", "60"))):
    """Wait, but not for ever, until the machine has nothing else to do."""
    os.sync()
    end = time.time() + patience
    load = busy()
    while load > limit and time.time() < end:
        time.sleep(0.6)
        load = busy()
    return round(load, 3)


def room(files, least=12 << 30):
    """Empty the page cache if little memory is free, then read again what all tools read.

    What earlier builds left there is of no use to anybody, and to take its pages one by one costs whoever writes most files
    a tenth of its time.
    """
    with open("/proc/meminfo") as f:
        free = next(int(line.split()[1]) << 10 for line in f if line.startswith("MemFree:"))
    if free > least:
        return
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("1")
    for name in files:
        with open(name, "rb") as f:
            while f.read(1 << 20):
                pass


def requests_logged():
    with open(f"{WORK}/log/registry.log", "rb") as f:
        return len(re.findall(rb'"(?:GET|HEAD|PUT|POST|PATCH|DELETE) /v2/', f.read()))


def measure(tool, argvs):
    """Run the commands one after the other and tell what they cost."""
    daemons = tool.daemons()
    load = quiet()
    before, requests, cpu = counters(), requests_logged(), sum(map(cpu_of, daemons))
    sampler = Sampler(daemons)
    sampler.start()
    seconds = []
    started = time.monotonic()
    for argv in argvs:
        begun = time.monotonic()
        with open(f"{WORK}/log/{tool.name}.log", "ab") as log:
            log.write(f"\n##### {' '.join(argv)}\n".encode())
            log.flush()
            process = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, **tool.popen())
            sampler.roots.append(process.pid)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        cpu -= usage.ru_utime + usage.ru_stime
        seconds.append(round(time.monotonic() - begun, 3))
        if process.returncode:
            break
    wall = time.monotonic() - started
    sampler.done.set()
    sampler.join()
    after = counters()
    if process.returncode == 64:
        raise Unsupported("the adapter says so")
    return {
        "ok": process.returncode == 0, "wall": round(wall, 3), "parts": seconds,
        "cpu": round(sum(map(cpu_of, daemons)) - cpu, 2), "rss_builder": sampler.builder, "rss_tree": sampler.tree,
        "up": after["up"] - before["up"], "down": after["down"] - before["down"],
        "requests": requests_logged() - requests, "load": load,
    }
