#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who gets how many bits: the planner's allocations beside each other, docs/results/planner.md and planner.json.

    python3 tools/bench_planner.py --narrow build/narrow [--only REGEX] [--fresh] [--work FOLDER]

Weights only (activations keep 8 bits), and weights and activations. Every allocation gets the same measured damage, rounding and file size, is chosen
on calibration samples and judged by the integer engine on the test split. "coded": weights entropy-coded in the file;
"shared": one step for all rows of a layer. Rows already in planner.json are kept unless
--fresh is given; --only limits the work to rows whose title ("resnet20-cifar10 exact 3") matches; --work keeps the
measured states. Networks and data come from the test-bed (NARROW_TESTBED, default ../shared/testbed).
"""
import argparse
import itertools
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
        "exact, shared and coded, activations": "exact, shared and coded"}
BOTH_LEVELS = (4, 3, 5)
LEVELS = (3, 4, 2, 5)
GOALS = {"drop of 0.5": "--max-drop 0.5", "size of 20 %": "--target-size 20%"}


def run(narrow, arguments, codes=(0,)):
    """Runs `narrow`; returns its JSON document."""
    words = [narrow] + [w.replace("$NARROW_TESTBED", str(TESTBED)) for w in shlex.split(arguments)]
    done = subprocess.run(words, check=False, capture_output=True, text=True,
                          env={**os.environ, "GOMP_SPINCOUNT": "0"})
    if done.returncode not in codes:
        sys.exit(f"narrow {arguments}: {done.stderr.strip()}")
    return json.loads(done.stdout)


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
        return {"measuring": made["phase_seconds"]["measuring"],
                "sizes": {bits: others + sum(w["bytes"] for row in rows for w in row["why"]["by_bits"] if w["bits"] == bits)
                          for bits in range(2, 9)}}

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
        return {"network": self.name, "bytes": out.stat().st_size, "damage": made["chosen"]["damage"],
                "held_out": made["samples"]["held_out"], "held_out_drop": made["chosen"].get("drop"),
                "met": made["chosen"]["met"], "tried": made["chosen"]["networks_tried"],
                "seconds": round(made["seconds"], 1), "samples": score["samples"], "score": score[what], "what": what,
                "float": score["against"][what], "agreement": score["agreement"], "sqnr_db": score["sqnr_db"],
                "float_bytes": (TESTBED / "models" / f"{self.name}.onnx").stat().st_size,
                "drop_error": made["chosen"].get("drop_standard_error"),
                "activation_bits": made["chosen"].get("activation_bits"),
                "activation_bytes": made["chosen"].get("activation_bits", 0) * made["chosen"].get("activation_values", 0) / 8,
                "activations": {row["tensor"]: row["bits"] for row in made["chosen"].get("tensors", [])},
                "bits": {row["node"]: row["bits"] for row in made["chosen"]["layers"]},
                "command": f"narrow {command} && narrow eval OUT.nw --data $NARROW_TESTBED/data/{self.test} "
                           f"--against {self.onnx}"}


def titles():
    """Yields (title, network, kind, key): the most telling rows of every network first."""
    for network in NETWORKS:
        for level in LEVELS[:3]:
            for arm in ARMS:
                yield f"{network} {arm} {level}", network, arm, level
        for goal in GOALS:
            yield f"{network} {goal}", network, goal, None
        for level in BOTH_LEVELS:
            for arm in BOTH:
                yield f"{network} {arm} {level}", network, arm, level
    for network in NETWORKS:
        for arm in ARMS:
            yield f"{network} {arm} {LEVELS[3]}", network, arm, LEVELS[3]


# ---- what the figures say ----

def total(row):
    """Bytes of the file, and of all activations of one run where these were searched too."""
    return row["bytes"] + (row.get("activation_bytes") or 0)


def size_at(points, value, key):
    """Bytes at which a front (points by bytes) reaches a value, interpolated in log bytes; None outside of it."""
    best = []
    for p in sorted(points, key=total):
        if not best or p[key] > best[-1][key]:
            best.append(p)
    for a, b in zip(best, best[1:]):
        if a[key] <= value <= b[key]:
            share = (value - a[key]) / (b[key] - a[key])
            return math.exp(math.log(total(a)) + share * math.log(total(b) / total(a)))
    return None


def saved(rows, arm, rival, key):
    """
    Shares of bytes that an arm saves over a rival at the rival's own points; whether they are bounds. Where the arm's smallest
    point is better than all of the rival's, what it saves over the largest of these is the least it saves.
    """
    front = [r for r in rows if r["kind"] == arm]
    points = [r for r in rows if r["kind"] == rival]
    shares = [1.0 - size / total(p) for p in points for size in [size_at(front, p[key], key)] if size]
    smallest = min(front, key=total, default=None)
    bounds = [1.0 - total(smallest) / total(p) for p in points if smallest and p[key] <= smallest[key]]
    return (shares, False) if shares or max(bounds, default=0.0) < 0.01 else ([max(bounds)], True)


def said(rows, arm, rival):
    """One line on what an arm saves, or none."""
    parts = []
    for key, name in (("sqnr_db", "SQNR"), ("agreement", "agreement")):
        shares, bound = saved(rows, arm, rival, key)
        if shares:
            parts.append(f"{'at least ' if bound else ''}{100 * sum(shares) / len(shares):.0f} % at equal {name}"
                         f" ({len(shares)} points)")
    return [f"- {arm} over {rival}: bytes saved " + ", ".join(parts)] if parts else []


def slopes(state):
    """dB per bit of the noise on Z, fitted over 3 to 7 bits, layer by layer."""
    found = []
    for row in json.loads(state.read_text())["rows"]:
        points = [(w["bits"], 10 * math.log10(w["noise"])) for w in row["by_bits"] if 3 <= w["bits"] <= 7 and w["noise"] > 0]
        n = len(points)
        if n < 3:
            continue
        mx, my = sum(p[0] for p in points) / n, sum(p[1] for p in points) / n
        found.append(sum((x - mx) * (y - my) for x, y in points) / sum((x - mx) ** 2 for x, _ in points))
    return sorted(found)


def claims(results, facts):
    """What the figures say of the claims on adaptive bit allocation (Zhou et al. 2018)."""
    def column(arm, rival, key):
        cells, means = [], []
        for network in NETWORKS:
            shares, bound = saved([r for r in results if r["network"] == network], arm, rival, key)
            if shares:
                means.append(sum(shares) / len(shares))
                cells.append(f"{network} {'>= ' if bound else ''}{100 * means[-1]:.0f}")
        reach = f"{sum(m >= 0.1 for m in means)} of {len(means)} networks save 10 %, {sum(m >= 0.2 for m in means)} save 20 %"
        return (", ".join(cells) + f" % ({reach})") if cells else "not measured"
    def beaten(arm, rival, key):
        pairs = [(a, b) for a in results for b in results if a["kind"] == arm and b["kind"] == rival
                 and a["network"] == b["network"] and a["level"] == b["level"]]
        return f"{sum(a[key] > b[key] for a, b in pairs)} of {len(pairs)}"
    slope = [f["slope_median"] for f in facts.values()]
    lines = ["## Claims", ""]
    for arm, rival, what in (("exact", "equal", "packed, allocation alone"),
                             ("exact, shared and coded", "equal", "planned as the command does it"),
                             ("exact, shared and coded", "equal, shared and coded", "both coded, allocation alone"),
                             ("exact, activations", "equal, activations", "weights and activations, packed")):
        lines.append(f"- Smaller at equal accuracy (D1, D2), {what}, {arm} over {rival}. Bytes saved at equal SQNR:"
                     f" {column(arm, rival, 'sqnr_db')}; at equal agreement: {column(arm, rival, 'agreement')}.")
    lines += [f"- At least as good as the SQNR allocation (D3): better output SQNR in {beaten('exact', 'sqnr', 'sqnr_db')} pairs of"
              f" networks of one size, better agreement in {beaten('exact', 'sqnr', 'agreement')}; with activations in"
              f" {beaten('exact, activations', 'sqnr, activations', 'sqnr_db')} and"
              f" {beaten('exact, activations', 'sqnr, activations', 'agreement')}.",
              f"- Noise on the last feature map falls by {-max(slope):.1f} to {-min(slope):.1f} dB per bit, medians over the layers"
              f" of {len(slope)} networks (D4).",
              "- Finer set of operating points (D5): any size goes, to the byte where weights are packed; equal widths have seven.",
              "- Measuring once is what takes time (D6); it is kept in the state file.", ""]
    return lines


def write(results, facts):
    order = {t[0]: i for i, t in enumerate(sorted(titles(), key=lambda t: (list(NETWORKS).index(t[1]), str(t[3]), t[2])))}
    results = sorted((r for r in results if r["title"] in order), key=lambda r: order[r["title"]])
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "planner.json").write_text(json.dumps({"facts": facts, "rows": results}, indent=1) + "\n")
    lines = ["# Planner", "", "Written by `make bench-planner`. Weights only (activations have 8 bits) unless said otherwise. All allocations round and correct alike, fit the same"
             " file size (level b: that of b bits everywhere, packed) and were chosen on calibration pictures; the score is the integer"
             " engine's on the test split, which nothing else saw. Packed, unless an allocation says *coded*: weights entropy-coded in"
             " the file; *shared*: one step for all rows of a layer (docs/methods.md). Agreement: answers equal to the float network's. One"
             " standard error of a score is 1.1 to 1.4 points (CIFAR-10, 498 pictures), 1.4 to 2.3 (ImageNet, 450); agreement and SQNR are"
             " paired and tell differences apart that the score cannot.", ""]
    for network in NETWORKS:
        mine = [r for r in results if r["network"] == network]
        if not mine:
            continue
        lines += [f"## {network}", "", "| allocation | level | file bytes | of float | score | lost | agreement | SQNR dB |",
                  "|---|---|---|---|---|---|---|---|"]
        for r in (r for r in mine if r["kind"] in ARMS):
            lines.append(f"| {r['kind']} | {r['level']} | {r['bytes']} | {100 * r['bytes'] / r['float_bytes']:.1f} % |"
                         f" {100 * r['score']:.2f} | {100 * (r['float'] - r['score']):.2f} | {100 * r['agreement']:.2f} % |"
                         f" {r['sqnr_db']:.1f} |")
        lines.append("")
        for rival in ("equal", "sqnr", "equal, shared and coded"):
            for arm in ("exact", "exact, coded", "exact, shared and coded", "equal, shared and coded", "adaptive"):
                lines += said(mine, arm, rival) if arm != rival and (rival != "equal, shared and coded" or arm == "exact, shared and coded") else []
        both = [r for r in mine if r["kind"] in BOTH]
        if both:
            lines += ["", "Weights and activations: a file as above, and activations of as many bits on average.", "",
                      "| allocation | level | file bytes | activation bits | activation bytes | score | lost | agreement | SQNR dB |",
                      "|---|---|---|---|---|---|---|---|---|"]
            for r in both:
                lines.append(f"| {r['kind']} | {r['level']} | {r['bytes']} | {r['activation_bits']:.2f} |"
                             f" {r['activation_bytes']:.0f} | {100 * r['score']:.2f} | {100 * (r['float'] - r['score']):.2f} |"
                             f" {100 * r['agreement']:.2f} % | {r['sqnr_db']:.1f} |")
            lines.append("")
            for arm, rival in itertools.product(BOTH, ("equal, activations", "sqnr, activations")):
                lines += said(mine, arm, rival) if arm != rival else []
        if network in facts:
            f = facts[network]
            lines.append(f"- noise on Z falls by {-f['slope_median']:.1f} dB per bit (median over layers; {-f['slope_high']:.1f} to"
                         f" {-f['slope_low']:.1f})" + (f"; measured in {f['measuring']:.0f} s" if f["measuring"] > 1.0 else ""))
        lines.append("")
        goals = [r for r in mine if r["kind"] in GOALS]
        if goals:
            lines += ["| goal | met on held-out | file bytes | of float | lost, held-out | lost, test | networks | seconds |",
                      "|---|---|---|---|---|---|---|---|"]
            for r in goals:
                held = "" if r["held_out_drop"] is None else f"{100 * r['held_out_drop']:.2f} ({r['held_out']})"
                if r.get("drop_error") is not None:
                    held = f"{100 * (r['held_out_drop'] - r['drop_error']):.2f} +- {100 * r['drop_error']:.2f} ({r['held_out']})"
                lines.append(f"| {r['kind']} | {'yes' if r['met'] else 'no'} | {r['bytes']} |"
                             f" {100 * r['bytes'] / r['float_bytes']:.1f} % | {held} |"
                             f" {100 * (r['float'] - r['score']):.2f} ({r['samples']}) | {r['tried']} | {r['seconds']:.0f} |")
            lines.append("")
    lines += claims(results, facts)
    lines += ["## Commands", "", "One per row; `$NARROW_TESTBED` is the test-bed's folder.", "", "```sh"]
    lines += [r["command"] for r in results] + ["```"]
    (RESULTS / "planner.md").write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--narrow", default="build/narrow")
    parser.add_argument("--only", default="", help="rows whose title matches")
    parser.add_argument("--fresh", action="store_true", help="measure rows again that planner.json already has")
    parser.add_argument("--work", help="folder for states and networks; default: a temporary one")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no row after so long")
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
            if not re.search(arguments.only, title) or (not arguments.fresh and any(r["title"] == title for r in results)):
                continue
            if time.monotonic() - start > 60 * arguments.minutes:
                break
            if name not in networks:
                networks[name] = Network(arguments.narrow, name, work, arguments.threads)
                found = slopes(networks[name].state(PACKED))
                facts[name] = {"slope_median": found[len(found) // 2], "slope_low": found[0], "slope_high": found[-1],
                               "measuring": max(networks[name].measuring, facts.get(name, {}).get("measuring", 0.0))}
            network = networks[name]
            flags = GOALS.get(kind) or f"{ARMS[BOTH.get(kind, kind)]} --target-size {network.size(level, kind in BOTH)}"
            flags += f" --target-acts {level}" if kind in BOTH else ""
            row = {"title": title, "kind": kind, "level": level, **network.make(flags)}
            results = [r for r in results if r["title"] != title] + [row]
            write(results, facts)
            print(f"{title}: {row['bytes']} bytes, {row['what']} {100 * row['score']:.2f} (float {100 * row['float']:.2f}),"
                  f" agreement {100 * row['agreement']:.2f}, {row['sqnr_db']:.1f} dB, {row['seconds']} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
