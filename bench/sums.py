#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What 16-bit sums buy and cost: docs/results/sums.md and sums.json.

    python3 bench/sums.py --narrow build/narrow [--random FOLDER] [--only REGEX] [--prefix "taskset -c 1"]

Speed, one thread, taking turns within one run: a network quantized with --acc 16 against itself with every sum in 32
bits (same bytes, checked), against exact 8 x 8 bits as quantized by default, and against exact 8 x 8 bits with 32-bit sums.
Accuracy on pictures that calibration never saw: --acc 16 beside 8 x 8 and fixed 6 x 6 bits. FOLDER holds *-random.onnx of
the test bed's make_random_models.py. Rows already in sums.json are kept unless --only names them.
"""
import argparse
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"
TESTBED = pathlib.Path(os.environ.get("NARROW_TESTBED", ROOT / ".." / "shared" / "testbed"))
CIFAR = "--mean 123.675,116.28,103.53 --std 58.395,57.12,57.375"
IMAGENET = "--resize shorter_side:256 --crop center --mean 127.5 --std 127.5 --class-offset 1"
RANDOM = "--resize shorter_side:256 --crop center --mean 123.675,116.28,103.53 --std 58.395,57.12,57.375 --channel-order RGB"
REAL = {
    "resnet20-cifar10": (CIFAR, "cifar10/calib", ["cifar10-png/test", "cifar10/test"]),
    "resnet56-cifar10": (CIFAR, "cifar10/calib", ["cifar10-png/test", "cifar10/test"]),
    "mobilenetv2-cifar10": ("--mean 125.307,122.961,113.8575 --std 62.985,62.0925,66.708", "cifar10/calib",
                            ["cifar10-png/test", "cifar10/test"]),
    "mobilenetv1-0.25-imagenet": (IMAGENET, "imagenet/calib.csv", ["imagenet/test.csv"]),
    "mobilenetv2-imagenet": (IMAGENET, "imagenet/calib.csv", ["imagenet/test.csv"]),
}
RANDOM_NAMES = ["resnet50-random", "vgg16-random"]
FORMS = {"16": "--acc 16", "8x8": "", "8x8-32": "--acc 32", "6x6": "--weights 6 --acts 6 --first-last 6"}


def run(narrow, arguments, prefix=""):
    words = shlex.split(prefix) + [narrow] + shlex.split(arguments)
    done = subprocess.run(words, check=False, capture_output=True, text=True, env={**os.environ, "GOMP_SPINCOUNT": "0"})
    if done.returncode:
        sys.exit(f"narrow {arguments}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def quantize(narrow, onnx, calib, flags, out, samples):
    run(narrow, f"quantize {onnx} {out} --calib {TESTBED}/data/{calib} {flags} --samples {samples} --json --threads 2")
    return out


def alphas(narrow, net):
    """Product of both narrowings of every layer planned for 16 bits, from the plan."""
    text = subprocess.run([narrow, "inspect", net, "--plan"], check=True, capture_output=True, text=True).stdout
    rows = [row for row in json.loads(text)["layers"] if row.get("accumulator") == "16"]
    return len(json.loads(text)["layers"]), [row["why"] for row in rows]


def speed(narrow, nets, prefix, runs):
    result = {}
    for rival in ("8x8", "8x8-32"):
        told = run(narrow, f"bench {nets['16']} --sums32 --against {nets[rival]} --runs {runs} --no-layers --json", prefix)
        result[rival] = round(told["against"]["ratio"], 3)
        result["sums32"] = round(told["sums32"]["ratio"], 3)
        result["isa"] = told["isa"]
    return result


def measure(narrow, name, arguments, work):
    real = name in REAL
    flags, calib, tests = REAL[name] if real else (RANDOM, "imagenet/calib.csv", [])
    onnx = TESTBED / "models" / f"{name}.onnx" if real else pathlib.Path(arguments.random) / f"{name}.onnx"
    samples = 500 if real else 16
    if not real:
        flags += " --bias-correction analytic"
    forms = FORMS if real else {k: v for k, v in FORMS.items() if k != "6x6"}
    nets = {form: quantize(narrow, onnx, calib, f"{flags} {f}", f"{work}/{name}-{form}.nw", samples)
            for form, f in forms.items()}
    n_layers, planned = alphas(narrow, nets["16"])
    row = {"network": name, "layers": n_layers, "planned": planned, "data": [],
           "speed": speed(narrow, nets, arguments.prefix, arguments.runs)}
    for data in tests:
        path = f"{TESTBED}/data/{data}"
        told = run(narrow, f"eval {nets['16']} --data {path} --against {nets['8x8']} --json --threads 1")
        six = run(narrow, f"eval {nets['6x6']} --data {path} --json --threads 1")
        row["data"].append({"data": data, "samples": told["samples"], "16": told["top1"],
                            "standard_error": told["top1_standard_error"], "8x8": told["against"]["top1"],
                            "6x6": six["top1"], "agreement_8x8": told["agreement"]})
    return row


def histogram(planned):
    """OAQ's alpha is that of weights and of codes alike: the root of the product."""
    edges = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 99.0]
    roots = [why["alpha"] ** 0.5 for why in planned]
    return [sum(lo <= a < hi for a in roots) for lo, hi in zip(edges, edges[1:])]


def write(rows):
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "sums.json").write_text(json.dumps(rows, indent=1) + "\n")
    lines = ["# 16-bit sums", "", "Written by `bench/sums.py`. Speed: one thread, networks take turns in one run, medians; times of"
             " the others over that of `--acc 16`. With 32-bit sums the same network gives the same bytes (checked in each run).",
             "", "| network | kernels | layers planned | same, 32-bit sums | exact 8 x 8, default | exact 8 x 8, 32-bit sums |",
             "|---|---|---|---|---|---|"]
    for row in rows:
        s = row["speed"]
        lines.append(f"| {row['network']} | {s['isa']} | {len(row['planned'])} of {row['layers']} | {s['sums32']:.2f} |"
                     f" {s['8x8']:.2f} | {s['8x8-32']:.2f} |")
    lines += ["", "Accuracy, top-1 in percent, measured with the integer engine on pictures that calibration never saw. 6 x 6: all"
              " layers.", "", "| network | data | images | --acc 16 | standard error | 8 x 8 | 6 x 6 | same answer as 8 x 8 |",
              "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        for d in row["data"]:
            lines.append(f"| {row['network']} | {d['data']} | {d['samples']} | {100 * d['16']:.2f} |"
                         f" {100 * d['standard_error']:.2f} | {100 * d['8x8']:.2f} | {100 * d['6x6']:.2f} |"
                         f" {100 * d['agreement_8x8']:.2f} % |")
    lines += ["", "Range factors: alpha of a layer is the root of how far the product of weights and codes was narrowed (8 x 8 bits:"
              " 1, 7 x 7: 2, 6 x 6: 4). Layers by alpha:", "",
              "| network | 1 to 1.5 | to 2 | to 2.5 | to 3 | to 4 | above | steps in a run, predicted |", "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        runs = sorted(why["run"] for why in row["planned"]) or [0]
        lines.append(f"| {row['network']} | " + " | ".join(map(str, histogram(row["planned"]))) +
                     f" | {runs[0]:.0f} to {runs[-1]:.0f}, median {runs[len(runs) // 2]:.0f} |")
    (RESULTS / "sums.md").write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--narrow", default="build/narrow")
    parser.add_argument("--random", default="", help="folder of *-random.onnx")
    parser.add_argument("--only", default="", help="networks whose name matches")
    parser.add_argument("--prefix", default="", help="put before `narrow bench`")
    parser.add_argument("--runs", type=int, default=31)
    parser.add_argument("--work", default="", help="folder for the quantized networks; default: a temporary one")
    arguments = parser.parse_args()
    if not TESTBED.is_dir():
        print(f"SKIP: no test-bed at {TESTBED}; set NARROW_TESTBED", file=sys.stderr)
        return 0
    known = RESULTS / "sums.json"
    rows = {r["network"]: r for r in (json.loads(known.read_text()) if known.is_file() else [])}
    names = list(REAL) + (RANDOM_NAMES if arguments.random else [])
    with tempfile.TemporaryDirectory() as temporary:
        for name in names:
            if re.search(arguments.only, name) and (arguments.only or name not in rows):
                rows[name] = measure(arguments.narrow, name, arguments, arguments.work or temporary)
                write([rows[n] for n in list(REAL) + RANDOM_NAMES if n in rows])
                print(name, rows[name]["speed"], flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
