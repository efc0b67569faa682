"""Rows, medians, ratios and what they must be."""
import json
import os
import platform
import statistics

from common import ENV, HERE

# row: requirements, installer, scenario, what it is
ROWS = {
    "S1-pip": ("real", "pip", "S1", "cold, requirements with pip"),
    "S1-uv": ("real", "uv", "S1", "cold, requirements with uv"),
    "S2": ("real", "uv", "S2", "nothing changed, warm"),
    "S3": ("real", "uv", "S3", "one source file changed, warm"),
    "S4-pip": ("real", "pip", "S4", "one requirement added, pip"),
    "S4-uv": ("real", "uv", "S4", "one requirement added, uv"),
    "S5": ("real", "uv", "S5", "fresh runner, warm registry, nothing changed"),
    "S6": ("real", "uv", "S6", "fresh runner, one source file changed"),
    "S7": ("none", "pip", "S7", "no requirements, cold"),
    "huge": ("huge", "uv", "S1", "huge requirements, cold"),
}
# What kanso may take of the fastest other builder's time, and other limits.
MIB = 2**20
MUST = {
    "S1-pip": {"time": 0.5}, "S1-uv": {"time": 0.45}, "S2": {"time": 0.4, "requests": 6}, "S3": {"time": 0.1, "rss_builder": 50 * MIB},
    "S4-pip": {"time": 0.3, "sent": 0.05}, "S4-uv": {"time": 0.15, "sent": 0.05}, "S5": {"time": 0.4, "traffic": 1e6},
    "S6": {"time": 0.03, "traffic": 1.1e6}, "S7": {"time": 0.08}, "huge": {"time": 0.5, "rss_builder": 150 * MIB},
}
OURS = ("kanso", "kanso-settings")
DOCKERFILE_TOO = ("S2", "S3", "S5", "S6")  # rows that kanso with a Dockerfile must meet, too
NEEDED = ("buildkit", "buildah")           # without them there is nothing to compare with
FIGURES = {"S1-uv": ("kaniko", 18.8), "S7": ("kaniko", 5.7)}  # seconds, where kaniko is best and is not there
WORSE = 1.2  # a ratio that grew by more is a regression
RECORDED = f"{HERE}/ratios.json"
LAST = f"{HERE}/last.json"  # the last recorded run of each row: what made it, medians, verdict
ROOT = os.path.dirname(os.path.dirname(HERE))
BEGIN, END = "<!-- what make bench RECORD=1 found -->", "<!-- end of it -->"


def summary(results):
    """row -> tool -> medians."""
    out = {}
    for row, (reqs, installer, scenario, _) in ROWS.items():
        for r in results:
            if (r["reqs"], r["installer"], r["scenario"]) == (reqs, installer, scenario) and r["ok"]:
                out.setdefault(row, {}).setdefault(r["tool"], []).append(r)
    return {row: {tool: medians(rs) for tool, rs in found.items()} for row, found in out.items()}


def medians(rs):
    m = {f: statistics.median(r[f] for r in rs) for f in ("wall", "cpu", "rss_builder", "rss_tree", "up", "down", "requests")}
    return {**m, "n": len(rs), "min": min(r["wall"] for r in rs), "max": max(r["wall"] for r in rs)}


def judge(row, found):
    """What a row says: the best peer, and for each of ours its ratio and what it misses."""
    if any(t not in found for t in NEEDED) or not any(t in found for t in OURS):
        return None
    peers = {t: m["wall"] for t, m in found.items() if t not in OURS}
    if row in FIGURES and FIGURES[row][0] not in peers:
        peers[FIGURES[row][0] + " (its figure)"] = FIGURES[row][1]
    best = min(peers, key=peers.get)
    least = min(m["up"] for t, m in found.items() if t not in OURS)
    out = {"best": best, "seconds": peers[best], "ratio": {}, "missed": {}}
    for tool in OURS:
        if tool not in found:
            continue
        m = found[tool]
        got = {"time": m["wall"] / peers[best], "sent": m["up"] / max(1, least), "traffic": m["up"] + m["down"],
               "requests": m["requests"], "rss_builder": m["rss_builder"]}
        out["ratio"][tool] = round(got["time"], 4)
        if tool == "kanso-settings" or row in DOCKERFILE_TOO:
            out["missed"][tool] = [f"{k} {got[k]:.3g}, not {limit:.3g}" for k, limit in MUST[row].items() if got[k] > limit]
    return out


def recorded():
    if not os.path.exists(RECORDED):
        return {}
    with open(RECORDED) as f:
        return json.load(f)


def regressions(verdicts):
    """Ratios that are worse than those that were recorded."""
    was, out = recorded(), []
    for row, v in verdicts.items():
        for tool, ratio in (v or {"ratio": {}})["ratio"].items():
            before = was.get(row, {}).get(tool)
            if before and ratio > WORSE * before:
                out.append(f"{row}: {tool} takes {ratio:.3f} of the best, {before:.3f} was recorded")
    return out


def record(verdicts):
    """Keep the ratios of the rows that ran."""
    was = recorded()
    was.update({row: v["ratio"] for row, v in verdicts.items() if v})
    with open(RECORDED, "w") as f:
        json.dump(was, f, indent=2, sort_keys=True)
        f.write("\n")


def record_run(rows, found, verdicts, versions):
    """Keep what a run found of its rows, and of others what the run before it that had them did."""
    kept = {}
    if os.path.exists(LAST):
        with open(LAST) as f:
            kept = json.load(f)
    made = made_by(versions)
    kept.update({row: {"made": made, "found": found[row], "verdict": verdicts[row]} for row in rows})
    with open(LAST, "w") as f:
        json.dump(kept, f, indent=1, sort_keys=True)
        f.write("\n")
    return kept


def runs(kept):
    """The rows of each run, in their order: what made it, medians, verdicts."""
    out = {}
    for row in ROWS:
        if row in kept:
            _, found, verdicts = out.setdefault(kept[row]["made"], (kept[row]["made"], {}, {}))
            found[row], verdicts[row] = kept[row]["found"], kept[row]["verdict"]
    return out.values()


def brief(made, found, verdicts):
    """A line for each row, for people who want to know how fast it is."""
    tools = [t for t in ("kanso-settings", "kanso", "buildkit", "docker", "buildah", "kaniko") if any(t in f for f in found.values())]
    lines = [made, "", "| seconds, median (least to most) | " + " | ".join(tools) + " | kanso-settings of the best other |", "|---|" + "---|" * (len(tools) + 1)]
    for row in found:
        v, cells = verdicts.get(row), []
        for tool in tools:
            m = found[row].get(tool)
            cells.append(f"{m['wall']:.2f} ({m['min']:.2f} to {m['max']:.2f})" if m else "")
        ratio = "not comparable" if v is None else f"{v['ratio'].get('kanso-settings', float('nan')):.2f} of {v['best']}"
        lines.append(f"| {row}: {ROWS[row][3]} | {' | '.join(cells)} | {ratio} |")
    return "\n".join(lines) + "\n"


def publish(kept):
    """Put brief tables, one for each run, into README.md and whole ones into docs/speed.md."""
    readme = f"{ROOT}/README.md"
    with open(readme) as f:
        before, _, rest = f.read().partition(BEGIN)
    _, _, after = rest.partition(END)
    with open(readme, "w") as f:
        f.write(f"{before}{BEGIN}\n\n" + "\n".join(brief(*run) for run in runs(kept)) + f"\n{END}{after}")
    with open(f"{ROOT}/docs/speed.md", "w") as f:
        f.write(SPEED + "\n".join(table(*run) for run in runs(kept)))


SPEED = """# How fast kanso is

What `make bench RECORD=1` wrote last, a table for each run. kanso-settings builds from ZenML's settings, all others the Dockerfile that ZenML would generate of them. Tools take turns;
a row counts only if BuildKit and Buildah made the same image. `builder` is the peak memory of the builder's processes, `with steps` adds what RUN started; megabytes
are counted by a proxy before the registry and the package index. kaniko's figures, where it is named and has no row, are of another run on such a machine.

"""


def machine():
    with open("/proc/meminfo") as f:
        memory = int(f.readline().split()[1]) // 2**20
    return f"{os.cpu_count()} cores, {memory} GiB, Linux {'.'.join(platform.release().split('.')[:2])}"


def made_by(versions):
    """The command, the machine and the versions."""
    command = " ".join(f"{k}={ENV[k]}" for k in ("ROWS", "TOOLS", "N") if ENV.get(k))
    return f"`make bench{' ' + command if command else ''}` on {machine()}; " + ", ".join(f"{t} {v}" for t, v in sorted(versions.items()) if v) + "."


def table(made, found, verdicts):
    """The table as Markdown."""
    lines = [made, "",
             "| row | tool | seconds, median (least to most) of n | of the best | sent MB | received MB | requests | builder MiB | with steps MiB |",
             "|---|---|---|---|---|---|---|---|---|"]
    for row in found:
        v = verdicts.get(row)
        for tool in sorted(found[row], key=lambda t: found[row][t]["wall"]):
            m = found[row][tool]
            ratio = "not comparable" if v is None else f"{m['wall'] / v['seconds']:.3f}"
            if v and tool in v["missed"]:
                ratio += " (missed: " + "; ".join(v["missed"][tool]) + ")" if v["missed"][tool] else f" (must be {MUST[row]['time']})"
            lines.append(f"| {row}, {ROWS[row][3]} | {tool} | {m['wall']:.2f} ({m['min']:.2f} to {m['max']:.2f}) of {m['n']} | {ratio} | {m['up'] / 1e6:.2f} "
                         f"| {m['down'] / 1e6:.2f} | {m['requests']:.0f} | {m['rss_builder'] / MIB:.0f} | {m['rss_tree'] / MIB:.0f} |")
    return "\n".join(lines) + "\n"
