#!/usr/bin/env python3
"""Times image builders on one ZenML-like project: build and push, as their users run them. bench.sh calls it.

    bench.py run --wheels DIR --base REF --rows S2,S5 --tools kanso,buildkit -n 3 [--record]
    bench.py report            judge the last results again
    bench.py proxy             (the counting proxy, for run)

S1 empty local state and a new repository; S2 nothing changed; S3 one source file changed; S4 one small requirement added;
S5 a fresh runner (empty local state, new file times, warm registry), nothing changed; S6 the same with one source file
changed; S7 source only, cold. P is the build that fills the registry for S5 and S6. S2 to S4 follow S1 in the same
state. Every change is new text, so that no run meets the cache of an earlier one. Tools take turns in each repetition.

wall: from the first command to the end of the push; daemons run before. builder: the peak of the sum over the builder's
processes; with steps adds what RUN started. sent, received: bytes through the proxy, headers included.
"""
import argparse
import json
import os
import subprocess
import sys
import time

import report
import services
from common import BASE, ENV, REGISTRY, WORK, Unsupported, program, say
from measure import measure, room
from project import EXTRA, REQUIREMENTS, Project
from tools import tools
from trees import Reader, retag

SHORT = ("S2", "S3", "S5", "S6")  # runs that may take less than a second are made twice in each repetition
OUT = f"{WORK}/results.json"


class Session:
    """All runs with one set of requirements and one installer."""

    def __init__(self, reqs, installer, scenarios, todo, n, shared):
        self.reqs, self.installer, self.scenarios, self.todo, self.n = reqs, installer, scenarios, todo, n
        self.project, self.shared = Project(installer), shared
        self.stamp = time.strftime("%m%d%H%M%S")
        self.broken, self.results, self.reader = set(), [], Reader()

    def run(self):
        for rep in range(self.n):
            for tool in self.todo[rep % len(self.todo):] + self.todo[:rep % len(self.todo)]:
                try:
                    self.turn(tool, rep)
                except Unsupported as e:
                    self.broken.add((tool.name, "*"))
                    say(f"{tool.name}: left out ({e})")
                finally:
                    tool.stop()
                    self.project.source("")
            self.compare(rep)
        return self.results

    def one(self, tool, scenario, target, rep, cache=None):
        """One build. The name of the tool and the number of the run are in what changes."""
        if (tool.name, scenario) in self.broken or (tool.name, "*") in self.broken:
            return
        tool.prepare(self.project)
        result = measure(tool, tool.build(self.project, target, cache))
        if not result["ok"]:
            self.broken.add((tool.name, scenario))
        result = {"tool": tool.name, "scenario": scenario, "reqs": self.reqs, "installer": self.installer, "rep": rep, "target": target, **result}
        say(f"{tool.name:14s} {scenario} {self.reqs} {self.installer} #{rep} {'ok ' if result['ok'] else 'FAILED'} {result['wall']:7.2f} s "
            f"cpu {result['cpu']:.1f} rss {result['rss_builder'] >> 20}/{result['rss_tree'] >> 20} MiB up {result['up'] / 1e6:.2f} MB "
            f"down {result['down'] / 1e6:.2f} MB req {result['requests']} load {result['load']}")
        self.results.append(result)

    def need(self, *names):
        return any(n in self.scenarios for n in names)

    def turn(self, tool, rep):
        p, reqs = self.project, REQUIREMENTS[self.reqs]
        room(self.shared)
        p.source("")
        p.requirements(reqs)
        if self.need("S1", "S2", "S3", "S4") and not tool.remote_only or self.need("S1"):
            tool.reset()
            self.one(tool, "S1", f"{REGISTRY}/bench/{tool.name}-{self.stamp}-{rep}:v1", rep)
        primed = f"{REGISTRY}/bench-prime/{tool.name}-{self.stamp}"
        cache = f"{REGISTRY}/bench-cache/{tool.name}-{self.stamp}:cache"
        if tool.remote_only:
            self.prime(tool, rep, primed, cache)
        self.warm(tool, rep, primed if tool.remote_only else f"{REGISTRY}/bench/{tool.name}-{self.stamp}-{rep}", cache if tool.remote_only else None)
        if not tool.remote_only:
            self.prime(tool, rep, primed, cache)
        self.fresh(tool, rep, primed, cache)
        if self.need("S7"):
            p.requirements([])
            tool.reset()
            self.one(tool, "S7", f"{REGISTRY}/bench/{tool.name}-{self.stamp}-{rep}-source:v1", rep)

    def warm(self, tool, rep, repo, cache):
        """What follows a build on the same machine."""
        p = self.project
        for again in range(2):
            if self.need("S2"):
                self.one(tool, "S2", f"{repo}:v1", rep, cache)
            if self.need("S3"):
                p.source(f"{self.stamp} {tool.name} {rep} {again} local")
                self.one(tool, "S3", f"{repo}:v2", rep, cache)
                p.source("")
        if self.need("S4"):
            p.requirements([*REQUIREMENTS[self.reqs], EXTRA[rep % len(EXTRA)]])
            self.one(tool, "S4", f"{repo}:v3", rep, cache)
            p.requirements(REQUIREMENTS[self.reqs])

    def prime(self, tool, rep, primed, cache):
        """Fill the registry, once."""
        if rep > 0 or not (self.need("S5", "S6") or tool.remote_only and self.need("S2", "S3", "S4")):
            return
        self.project.checkout()
        tool.reset()
        self.one(tool, "P", f"{primed}:v0", rep, cache)
        if (tool.name, "P") not in self.broken:
            if tool.cache_tag:
                retag(cache, "primed")
            retag(f"{primed}:v0", "primed")

    def fresh(self, tool, rep, primed, cache):
        """A machine that has nothing."""
        p = self.project
        for again in range(2):
            for scenario in ("S5", "S6"):
                if not self.need(scenario) or (tool.name, "P") in self.broken:
                    continue
                p.checkout()
                if scenario == "S6":
                    p.source(f"{self.stamp} {tool.name} {rep} {again} remote")
                if tool.cache_tag:
                    retag(cache.rpartition(":")[0] + ":primed", "cache")
                tool.reset()
                self.one(tool, scenario, f"{primed}:v{5 if scenario == 'S5' else 6}", rep, cache)
                p.source("")

    def compare(self, rep):
        """Images of one scenario hold the same files; the time of one that does not is void."""
        for scenario in [*self.scenarios, "P"]:
            last = {r["tool"]: r for r in self.results if r["rep"] == rep and r["scenario"] == scenario and r["ok"]}
            reference = next((last[t] for t in ("buildkit", "buildah", "docker", "kaniko") if t in last), None)
            if reference is None:
                continue
            for r in last.values():
                if r is reference:
                    continue
                found = self.reader.differences(reference["target"], r["target"])
                if found:
                    say(f"{r['tool']} {scenario}: not the image that {reference['tool']} made: {len(found)} differences, such as", *(f"\n  {d}" for d in found[:5]))
                    for other in self.results:
                        if (other["tool"], other["scenario"], other["rep"]) == (r["tool"], scenario, rep):
                            other["ok"], other["differs"] = False, found[:20]


def run(args):
    rows = args.rows.split(",")
    for row in rows:
        if row not in report.ROWS:
            raise SystemExit(f"bench.py: no row {row!r}; want some of {','.join(report.ROWS)}")
    todo, versions = [], {}
    for name in args.tools.split(","):
        try:
            todo += tools([name])
            versions[name] = todo[-1].version()
        except Unsupported as e:
            todo = [t for t in todo if t.name != name]
            say(f"{name}: left out ({e})")
    started = services.serve(args.wheels)
    try:
        subprocess.run([program("SKOPEO", "skopeo"), "copy", "-q", "--dest-tls-verify=false", args.base, f"docker://{BASE}"], check=True)
        results = []
        shared = [os.path.join(d, f) for top in (args.wheels, f"{WORK}/registry") for d, _, files in os.walk(top) for f in files]
        for reqs, installer in dict.fromkeys(report.ROWS[r][:2] for r in rows):
            scenarios = [report.ROWS[r][2] for r in rows if report.ROWS[r][:2] == (reqs, installer)]
            results += Session(reqs, installer, scenarios, todo, args.n, shared).run()
    finally:
        for tool in todo:
            tool.drop()
        services.stop(started)
    with open(OUT, "w") as f:
        json.dump({"rows": rows, "versions": versions, "machine": report.machine(), "results": results}, f, indent=1)
    return conclude(args)


def conclude(args):
    """Print the table; the status says whether anything was missed or got worse."""
    with open(OUT) as f:
        data = json.load(f)
    found = report.summary(data["results"])
    verdicts = {row: report.judge(row, found.get(row, {})) for row in data["rows"]}
    text = report.table(report.made_by(data["versions"]), found, verdicts)
    with open(f"{WORK}/table.md", "w") as f:
        f.write(text)
    with open(f"{WORK}/summary.json", "w") as f:
        json.dump({"versions": data["versions"], "machine": data["machine"], "rows": found, "verdicts": verdicts}, f, indent=1)
    print(text)
    bad = [f"{row}: not comparable: {' and '.join(report.NEEDED)} must have built the same image" for row, v in verdicts.items() if v is None]
    bad += [f"{row}: {tool}: {m}" for row, v in verdicts.items() if v for tool, missed in v["missed"].items() for m in missed]
    bad += [f"{row}: {tool}: no image that counts" for row, v in verdicts.items() if v for tool in report.OURS if tool not in v["ratio"]]
    bad += report.regressions(verdicts)
    if args.record and not any(v is None for v in verdicts.values()):
        report.record(verdicts)
        report.publish(report.record_run(data["rows"], found, verdicts, data["versions"]))
    for line in bad:
        print("bench:", line, file=sys.stderr)
    return 1 if bad else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("proxy")
    for name in ("run", "report"):
        p = commands.add_parser(name)
        p.add_argument("--record", action="store_true", default=bool(ENV.get("RECORD")), help="keep the ratios as those to compare with")
        if name == "run":
            p.add_argument("--wheels", required=True)
            p.add_argument("--base", required=True)
            p.add_argument("--rows", default=",".join(report.ROWS))
            p.add_argument("--tools", default="kanso,kanso-settings,buildkit,docker,buildah,kaniko")
            p.add_argument("-n", type=int, default=3)
    args = parser.parse_args()
    os.makedirs(WORK, exist_ok=True)
    return {"run": run, "report": conclude, "proxy": lambda _: services.Proxy().run()}[args.command](args)


if __name__ == "__main__":
    sys.exit(main())
