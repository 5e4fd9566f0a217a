#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who gets how many bits: the planner's allocations beside each other, docs/results/planner.md and planner.json.

    python3 tools/bench_planner.py --narrow build/narrow [--only REGEX] [--fresh] [--work FOLDER] [--random FOLDER]

Weights only (activations keep 8 bits), and weights and activations. Every allocation gets the same measured damage,
rounding and file size, is chosen on calibration samples and judged by the integer engine on the test split. "coded":
weights entropy-coded in the file; "shared": one step for all rows of a layer. Rows already in planner.json are kept
unless --fresh is given; --only limits the work to rows whose title ("resnet20-cifar10 exact 3") matches; --work keeps
the measured states. FOLDER of --random holds networks with random weights (make_random_models.py): those in MEMORY are
planned from nothing, for the memory that this takes. Networks and data come from the test-bed (NARROW_TESTBED, default
../shared/testbed); planner_report.py turns the rows into the page.
"""
import argparse
import json
import math
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

import planner_report

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"
TESTBED = pathlib.Path(os.environ.get("NARROW_TESTBED", ROOT / ".." / "shared" / "testbed"))

CIFAR = "--mean 123.675,116.28,103.53 --std 58.395,57.12,57.375"
IMAGENET = "--resize shorter_side:256 --crop center --mean 127.5 --std 127.5 --class-offset 1"
JPEG_CIFAR = "--mean 125.307,122.961,113.8575 --std 62.985,62.0925,66.708"
CAMVID = "--mean 104.55,107.1,109.65 --std 76.5,79.05,79.05"
# network: preprocessing, calibration, what it has for options, test, what that has
NETWORKS = {
    "resnet20-cifar10": (CIFAR, "cifar10-png/calib --samples 512", "cifar10-png/test"),
    "mobilenetv1-0.25-imagenet": (IMAGENET, "imagenet/calib.csv", "imagenet/test.csv"),
    "resnet32-cifar10": (CIFAR, "cifar10-png/calib --samples 512", "cifar10-png/test"),
    "resnet56-cifar10": (CIFAR, "cifar10-png/calib --samples 512", "cifar10-png/test"),
    "mobilenetv2-cifar10": (JPEG_CIFAR, "cifar10-png/calib --samples 512", "cifar10-png/test"),
    "mobilenetv2-imagenet": (IMAGENET, "imagenet/calib.csv", "imagenet/test.csv"),
    "unet-camvid": (CAMVID, "camvid/calib --labels $NARROW_TESTBED/data/camvid/calib_labels",
                    "camvid/test --labels $NARROW_TESTBED/data/camvid/test_labels"),
}
PACKED = "--weight-storage packed"
CODED = "--weight-book uniform --weight-storage coded"
ARMS = {"exact": f"--allocation exact {PACKED}", "equal": f"--allocation equal {PACKED}",
        "exact, shared and coded": "--allocation exact", # the command's default
        "exact, coded": f"--allocation exact {CODED}",
        "equal, shared and coded": "--allocation equal",
        "adaptive": f"--allocation adaptive {PACKED}", "sqnr": f"--allocation sqnr {PACKED}"}
# weights and activations: at level b files as above, and activations of b bits on average
BOTH = {"exact, activations": "exact", "equal, activations": "equal", "sqnr, activations": "sqnr",
        "exact, shared and coded, activations": "exact, shared and coded", "exact, split, activations": "exact"}
SPLIT = "exact, split, activations" # as many bytes of file and activations together, shared out by the planner's damage
SHIFTS = (0.0, 0.25, 0.5, 0.75, 1.0) # bits per weight that activations may get
BOTH_LEVELS = (4, 3, 5)
LEVELS = (3, 4, 2, 5)
# whether damages add up: of which allocations, at which levels; and what planning takes, from nothing
SUMS = {"sum of equal": "equal", "sum of exact": "exact", "sum of exact, activations": "exact, activations"}
SUM_LEVELS = (3, 4, 5)
PHASES = "time from nothing"
GOALS = {"drop of 0.5": "--max-drop 0.5", "size of 20 %": "--target-size 20%"}
# goals of time: kernels (NARROW_ISA; None: the machine's best), share of the time expected with 8 bits everywhere. Those
# with dot products gain nothing by narrow weights: 8 bits are all there is to predict
TIMES = {"time of 80 % on avx2": ("avx2", 0.8), "time of 100 %": (None, 1.0)}
# networks with random weights whose planning is watched: preprocessing, calibration, goal
MEMORY = {"resnet50-random": ("--resize shorter_side:256 --crop center --mean 123.675,116.28,103.53"
                              " --std 58.395,57.12,57.375", "imagenet/calib.csv --measure-samples 16",
                              "--target-size 22%")}


def run(narrow, arguments, codes=(0,), isa=None):
    """Runs `narrow`; returns its JSON document."""
    words = [narrow] + [w.replace("$NARROW_TESTBED", str(TESTBED)) for w in shlex.split(arguments)]
    done = subprocess.run(words, check=False, capture_output=True, text=True,
                          env={**os.environ, "GOMP_SPINCOUNT": "0", **({"NARROW_ISA": isa} if isa else {})})
    if done.returncode not in codes:
        sys.exit(f"narrow {arguments}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def watched(narrow, arguments, sittings):
    """
    Runs `narrow` and adds its largest resident set and its time to a file, where those of earlier runs are, one that
    was interrupted while it measured among them. @return its JSON document, all these
    """
    words = [narrow] + [w.replace("$NARROW_TESTBED", str(TESTBED)) for w in shlex.split(arguments)]
    known = json.loads(sittings.read_text()) if sittings.is_file() else []
    start = time.monotonic()
    with tempfile.TemporaryFile() as out:
        with subprocess.Popen(words, stdout=out) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        known.append({"peak_kib": usage.ru_maxrss, "seconds": round(time.monotonic() - start, 1),
                      "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1)})
        sittings.write_text(json.dumps(known))
        if process.returncode not in (0, 1):
            sys.exit(f"narrow {arguments}: code {process.returncode}")
        out.seek(0)
        return json.load(out), known


def remember(narrow, name, folder, work):
    """A network planned from nothing: what it measures and then chooses, and the most memory that either takes."""
    preprocess, calib, goal = MEMORY[name]
    state, sittings = work / f"{name}.state.json", work / f"{name}.sittings.json"
    options = f"--calib $NARROW_TESTBED/data/{calib} {preprocess}"
    common = f"{shlex.quote(str(folder / name))}.onnx {{out}}{options} --threads 1 --json --state {state}"
    _, measuring = watched(narrow, "plan " + common.format(out=""), sittings)
    made, sat = watched(narrow, "plan " + common.format(out=f"{work / name}.plan.json ") + f" {goal}", sittings)
    chosen = made["chosen"]
    return {"network": name, "goal": goal, "met": chosen["met"], "bytes": chosen["bytes"],
            "float_bytes": (folder / f"{name}.onnx").stat().st_size, "layers": len(chosen["layers"]),
            "samples": made["samples"], "tried": chosen["networks_tried"],
            "measuring_peak_kib": max(s["peak_kib"] for s in measuring), "sittings": len(measuring),
            "measuring_seconds": sum(s["cpu_seconds"] for s in measuring),
            "planning_peak_kib": sat[-1]["peak_kib"], "planning_seconds": sat[-1]["cpu_seconds"],
            "command": f"narrow plan $NARROW_RANDOM/{name}.onnx PLAN.json {options} {goal} --threads 1"}


class Network:
    """What rows of one network share: the measured state, the sizes of equal widths."""

    def __init__(self, narrow, name, work, threads):
        preprocess, calib, test = NETWORKS[name]
        self.narrow, self.name, self.work, self.threads, self.test = narrow, name, work, threads, test
        self.onnx = f"$NARROW_TESTBED/models/{name}.onnx"
        self.preprocess = preprocess
        self.options = f"--calib $NARROW_TESTBED/data/{calib} {preprocess}"
        known = work / f"{name}.sizes.json"
        if not known.is_file():
            known.write_text(json.dumps(self.look(work / f"{name}.plan.json")))
        facts = json.loads(known.read_text())
        self.measuring = facts["measuring"]
        self.sizes = {int(bits): size for bits, size in facts["sizes"].items()}

    def look(self, plan):
        """Seconds that measuring took, and the size of the file at every equal width."""
        made = run(self.narrow, f"plan {self.onnx} {plan} {self.options} {PACKED} --state {self.state(PACKED)} "
                                f"--target-size 1000000000 --json --threads {self.threads}")
        rows = json.loads(plan.read_text())["layers"]
        others = made["chosen"]["bytes"] - sum(row["why"]["bytes"] for row in rows) + 40 * len(rows) + 64
        widths = [w for row in rows for w in row["why"]["by_bits"]]
        return {"measuring": made["phase_seconds"]["measuring"],
                "sizes": {bits: others + sum(w["bytes"] for w in widths if w["bits"] == bits) for bits in range(2, 9)}}

    def size(self, level, both):
        """Bytes of the file at a level; reasons of tensors take some too."""
        rows = sum("node" in row for row in json.loads(self.state(PACKED).read_text())["rows"])
        return self.sizes[level] + (220 * rows if both else 0)

    def state(self, flags):
        """What is measured of the weights depends on their book only."""
        weights = self.work / f"{self.name}.{'uniform' if PACKED in flags or CODED in flags else 'shared'}.state.json"
        if "--target-acts" not in flags:
            return weights
        both = weights.with_suffix(".both.json") # a run that measures no tensors would write a state without them
        if not both.is_file() and weights.is_file():
            shutil.copy(weights, both)
        return both

    def make(self, flags):
        """Quantizes and judges; the row's figures."""
        out = self.work / f"{self.name}.nw"
        command = f"quantize {self.onnx} OUT.nw {self.options} {flags}"
        made = run(self.narrow, command.replace("OUT.nw", str(out)) + f" --state {self.state(flags)} --json "
                   f"--threads {self.threads}", codes=(0, 1))
        score = run(self.narrow, f"eval {out} --data $NARROW_TESTBED/data/{self.test} --against {self.onnx} --json "
                                 f"--threads {self.threads}")
        what = "top1" if "top1" in score else "miou"
        chosen = made["chosen"]
        return {"network": self.name, "bytes": out.stat().st_size, "damage": chosen["damage"],
                "held_out": made["samples"]["held_out"], "held_out_drop": chosen.get("drop"),
                "met": chosen["met"], "tried": chosen["networks_tried"],
                "seconds": round(made["seconds"], 1), "samples": score["samples"], "score": score[what], "what": what,
                "float": score["against"][what], "agreement": score["agreement"], "sqnr_db": score["sqnr_db"],
                "float_bytes": (TESTBED / "models" / f"{self.name}.onnx").stat().st_size,
                "drop_error": chosen.get("drop_standard_error"),
                "activation_bits": chosen.get("activation_bits"),
                "activation_bytes": chosen.get("activation_bits", 0) * chosen.get("activation_values", 0) / 8,
                "activations": {row["tensor"]: row["bits"] for row in chosen.get("tensors", [])},
                "bits": {row["node"]: row["bits"] for row in chosen["layers"]},
                "command": f"narrow {command} && narrow eval OUT.nw --data $NARROW_TESTBED/data/{self.test} "
                           f"--against {self.onnx}"}

    def flags(self, kind, level):
        """Options of an allocation at a level."""
        goal = f"{ARMS[BOTH.get(kind, kind)]} --target-size {self.size(level, kind in BOTH)}"
        goal += f" --target-acts {level}" if kind in BOTH else ""
        return self.split(level, goal) if kind == SPLIT else goal

    def split(self, level, flags):
        """Of the splits of these bytes among weights and activations the one of least damage, summed up as planned."""
        def plan(options):
            return run(self.narrow, f"plan {self.onnx} {self.options} {options} --dry-run --state {self.state(options)}"
                                    f" --json --threads {self.threads}", codes=(0, 1))["chosen"]
        values = plan(flags)["activation_values"]
        tried = {}
        for shift in SHIFTS:
            size = round(self.size(level, True) - shift * (self.sizes[level] - self.sizes[level - 1]))
            bits = level + 8 * (self.size(level, True) - size) / values
            if bits <= 8.0:
                options = f"{ARMS['exact']} --target-size {size} --target-acts {bits:.4f}"
                tried[options] = plan(options)["damage"]
        return min(tried, key=tried.get)

    def add_up(self, kind, level):
        """Damage measured row by row and added up, and measured of all rows at once."""
        flags = self.flags(kind, level)
        command = f"plan {self.onnx} {self.options} {flags} --dry-run --together"
        made = run(self.narrow, f"{command} --state {self.state(flags)} --json --threads {self.threads}", codes=(0, 1))
        signal = json.loads(self.state(flags).read_text())["signal"]
        return {"network": self.name, "signal": signal, "samples": made["samples"]["measured"],
                "damage_measure": made["damage_measure"], "sum": made["chosen"]["damage_sum"],
                "together": made["chosen"]["damage_together"], "command": f"narrow {command}"}

    def from_nothing(self):
        """Seconds of each phase of planning by the command's own defaults."""
        with tempfile.TemporaryDirectory() as folder:
            command = f"plan {self.onnx} PLAN.json {self.options} --target-size 20%"
            made = run(self.narrow, command.replace("PLAN.json", f"{folder}/plan.json")
                       + f" --json --threads {self.threads}", codes=(0, 1))
        return {"network": self.name, "phases": made["phase_seconds"], "tried": made["chosen"]["networks_tried"],
                "layers": len(made["chosen"]["layers"]), "measured": made["samples"]["measured"],
                "command": f"narrow {command} --threads 1"}

    def hurry(self, isa, share):
        """A goal of time, the network never timed before; what nine other processes clock, the middle one of them."""
        out, cache = self.work / f"{self.name}.nw", self.work / f"{self.name}.times.json"
        for old in (cache, pathlib.Path(f"{cache}.16")):
            old.unlink(missing_ok=True)
        known = f"--cache {cache} --state {self.state('')} --threads {self.threads} --json"
        command = f"quantize {self.onnx} OUT.nw {self.options} --target-latency"
        slow = run(self.narrow, f"plan {self.onnx} {self.options} --target-latency 1000000 --dry-run {known}", isa=isa)
        goal = round(share * slow["chosen"]["milliseconds"], 4)
        made = run(self.narrow, f"{command.replace('OUT.nw', str(out))} {goal} {known}", codes=(0, 1), isa=isa)
        clocked = [run(self.narrow, f"bench {out} --threads 1 --no-layers --json", isa=isa)["milliseconds"]
                   for _ in range(9)]
        score = run(self.narrow, f"eval {out} --data $NARROW_TESTBED/data/{self.test} --against {self.onnx} --json "
                                 f"--threads {self.threads}")
        what = "top1" if "top1" in score else "miou"
        return {"network": self.name, "bytes": out.stat().st_size, "met": made["chosen"]["met"], "goal": goal,
                "eight_bits": slow["chosen"]["milliseconds"], "expected": made["chosen"]["milliseconds"],
                "timed": sorted(clocked)[4], "accumulator": made["chosen"].get("accumulator", "auto"),
                "samples": score["samples"], "score": score[what], "what": what, "float": score["against"][what],
                "agreement": score["agreement"], "sqnr_db": score["sqnr_db"],
                "float_bytes": (TESTBED / "models" / f"{self.name}.onnx").stat().st_size,
                "bits": {row["node"]: row["bits"] for row in made["chosen"]["layers"]},
                "command": (f"NARROW_ISA={isa} " if isa else "") + f"narrow {command} {goal} && "
                           + (f"NARROW_ISA={isa} " if isa else "") + "narrow bench OUT.nw --threads 1"}


def titles():
    """Yields (title, network, kind, key): the most telling rows of every network first."""
    for network in NETWORKS:
        for level in LEVELS[:3]:
            for arm in ARMS:
                yield f"{network} {arm} {level}", network, arm, level
        for goal in (*GOALS, *TIMES):
            yield f"{network} {goal}", network, goal, None
        for level in BOTH_LEVELS:
            for arm in BOTH:
                yield f"{network} {arm} {level}", network, arm, level
    for network in NETWORKS:
        for arm in ARMS:
            yield f"{network} {arm} {LEVELS[3]}", network, arm, LEVELS[3]
    for network in NETWORKS:
        for level in SUM_LEVELS:
            for arm in SUMS:
                yield f"{network} {arm} {level}", network, arm, level
        yield f"{network} {PHASES}", network, PHASES, None
    for network in MEMORY:
        yield f"{network} memory", network, "memory", None


def slopes(state):
    """dB per bit of the noise on Z, fitted over 3 to 7 bits, layer by layer."""
    found = []
    for row in json.loads(state.read_text())["rows"]:
        points = [(w["bits"], 10 * math.log10(w["noise"])) for w in row["by_bits"]
                  if 3 <= w["bits"] <= 7 and w["noise"] > 0]
        n = len(points)
        if n < 3:
            continue
        mx, my = sum(p[0] for p in points) / n, sum(p[1] for p in points) / n
        found.append(sum((x - mx) * (y - my) for x, y in points) / sum((x - mx) ** 2 for x, _ in points))
    return sorted(found)


def write(results, facts):
    """Both files, rows in the order of the page."""
    places = sorted(titles(), key=lambda t: ([*NETWORKS, *MEMORY].index(t[1]), str(t[3]), t[2]))
    order = {t[0]: i for i, t in enumerate(places)}
    results = sorted((r for r in results if r["title"] in order), key=lambda r: order[r["title"]])
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "planner.json").write_text(json.dumps({"facts": facts, "rows": results}, indent=1) + "\n")
    (RESULTS / "planner.md").write_text(planner_report.page(results, facts))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--narrow", default="build/narrow")
    parser.add_argument("--only", default="", help="rows whose title matches")
    parser.add_argument("--fresh", action="store_true", help="measure rows again that planner.json already has")
    parser.add_argument("--work", help="folder for states and networks; default: a temporary one")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no row after so long")
    parser.add_argument("--random", default="", help="folder of *-random.onnx")
    parser.add_argument("--results", help="folder of planner.md and planner.json")
    arguments = parser.parse_args()
    if not TESTBED.is_dir():
        print(f"SKIP: no test-bed at {TESTBED}; set NARROW_TESTBED", file=sys.stderr)
        return 0
    global RESULTS
    RESULTS = pathlib.Path(arguments.results) if arguments.results else RESULTS
    known = RESULTS / "planner.json"
    before = json.loads(known.read_text()) if known.is_file() else {"facts": {}, "rows": []}
    facts, results = before["facts"], before["rows"]
    networks = {}
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(arguments.work or temporary)
        work.mkdir(parents=True, exist_ok=True)
        for title, name, kind, level in titles():
            known = not arguments.fresh and any(r["title"] == title for r in results)
            if not re.search(arguments.only, title) or known:
                continue
            if time.monotonic() - start > 60 * arguments.minutes:
                break
            if kind == "memory":
                folder = pathlib.Path(arguments.random)
                if not (folder / f"{name}.onnx").is_file():
                    continue
                row = {"title": title, "kind": kind, "level": level,
                       **remember(arguments.narrow, name, folder, work)}
                results = [r for r in results if r["title"] != title] + [row]
                write(results, facts)
                print(f"{title}: {row['measuring_peak_kib']} KiB measuring, {row['planning_peak_kib']} planning",
                      flush=True)
                continue
            if name not in networks:
                networks[name] = Network(arguments.narrow, name, work, arguments.threads)
                found = slopes(networks[name].state(PACKED))
                facts[name] = {"slope_median": found[len(found) // 2], "slope_low": found[0], "slope_high": found[-1],
                               "measuring": max(networks[name].measuring, facts.get(name, {}).get("measuring", 0.0))}
            network = networks[name]
            if kind in TIMES:
                row = {"title": title, "kind": kind, "level": level, **network.hurry(*TIMES[kind])}
                results = [r for r in results if r["title"] != title] + [row]
                write(results, facts)
                print(f"{title}: {row['goal']} ms wanted, {row['expected']:.4f} expected, {row['timed']:.4f} measured,"
                      f" {row['what']} {100 * row['score']:.2f} (float {100 * row['float']:.2f})", flush=True)
                continue
            if kind in SUMS or kind == PHASES:
                made = network.add_up(SUMS[kind], level) if kind in SUMS else network.from_nothing()
                results = [r for r in results if r["title"] != title]
                results.append({"title": title, "kind": kind, "level": level, **made})
                write(results, facts)
                print(f"{title}: {made.get('phases') or (made['sum'], made['together'])}", flush=True)
                continue
            flags = GOALS.get(kind) or network.flags(kind, level)
            row = {"title": title, "kind": kind, "level": level, **network.make(flags)}
            results = [r for r in results if r["title"] != title] + [row]
            write(results, facts)
            print(f"{title}: {row['bytes']} bytes, {row['what']} {100 * row['score']:.2f}"
                  f" (float {100 * row['float']:.2f}), agreement {100 * row['agreement']:.2f}, {row['sqnr_db']:.1f} dB,"
                  f" {row['seconds']} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
