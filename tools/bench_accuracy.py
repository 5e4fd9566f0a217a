#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Accuracy of quantized networks, measured with the integer engine: docs/results/accuracy.md and accuracy.json.

    python3 tools/bench_accuracy.py --narrow build/narrow [--only REGEX] [--fresh]

Rows already in accuracy.json are kept unless --fresh is given or their note says that an earlier quantizer made them;
--only limits the work to rows whose title ("resnet20-cifar10 W4A8 refine, cifar10/test") matches, --list shows the
titles. The table is written after every row, so an interrupted run loses nothing. Networks and data come from the
test-bed (NARROW_TESTBED, default ../shared/testbed); without it there is nothing to do. accuracy_report.py turns the
rows into the page.
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

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import accuracy_report  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"
TESTBED = pathlib.Path(os.environ.get("NARROW_TESTBED", ROOT / ".." / "shared" / "testbed"))

# Calibration pictures are of the kind that the network is tested on.
PNG = ("cifar10-png/calib", "cifar10-png/test")
JPEG = ("cifar10/calib", "cifar10/test")
IMAGENET = ("imagenet/calib.csv", "imagenet/test.csv")
CAMVID = ("camvid/calib", "camvid/test")
CIFAR = "--mean 123.675,116.28,103.53 --std 58.395,57.12,57.375"
CROP = "--resize shorter_side:256 --crop center --mean 127.5 --std 127.5 --class-offset 1"
NETWORKS = {  # preprocessing; data for all rows; data for the rows of GOALS too
    "resnet20-cifar10": (CIFAR, JPEG, PNG),
    "resnet32-cifar10": (CIFAR, JPEG, PNG),
    "resnet56-cifar10": (CIFAR, JPEG, PNG),
    "mobilenetv2-cifar10": ("--mean 125.307,122.961,113.8575 --std 62.985,62.0925,66.708", JPEG, PNG),
    "mobilenetv1-0.25-imagenet": (CROP, IMAGENET, None),
    "unet-camvid": ("--mean 104.55,107.1,109.65 --std 76.5,79.05,79.05", CAMVID, None),
    "mobilenetv2-imagenet": (CROP, IMAGENET, None),
    "resnet8-cifar10": ("--mean 0 --std 1", JPEG, PNG),
}
SOME = ("resnet56-cifar10", "mobilenetv2-imagenet", "resnet8-cifar10")  # networks with the rows of GOALS alone
PER_TENSOR = "--weight-book per-tensor --no-equalize"  # one step for a layer, as the multipoint paper's scale per layer
METHODS = {
    "plain": "--weight-method plain --bias-correction none",
    "plain + bias correction": "--weight-method plain",
    "OCS 10 %": "--weight-method ocs --point-budget 10",
    "piecewise linear": "--weight-method piecewise",
    "power of two": "--weight-method plain --weight-book power-of-two",
    "flint": "--weight-method plain --weight-book flint",
    "random points 10 %": "--weight-method multipoint-random --point-budget 10",
    "multipoint 2 %": "--weight-method multipoint --point-budget 2",
    "multipoint 5 %": "--weight-method multipoint --point-budget 5",
    "multipoint 10 %": "--weight-method multipoint --point-budget 10",
    "error feedback": "--weight-method feedback",
    "refine": "--weight-method refine",
    "learned": "",  # the default behind narrow activations: docs/methods.md#learning
    "flint + refine": "--weight-method refine --weight-book flint",
    "auto book + refine": "--weight-method refine --weight-book auto",
    "multipoint 2 % + refine": "--weight-method multipoint-refine --point-budget 2",
    "multipoint 5 % + refine": "--weight-method multipoint-refine --point-budget 5",
    "multipoint 10 % + refine": "--weight-method multipoint-refine --point-budget 10",
    "per tensor: plain + bias correction": f"--weight-method plain {PER_TENSOR}",
    "per tensor: multipoint 10 %": f"--weight-method multipoint --point-budget 10 {PER_TENSOR}",
    "per tensor: refine": f"--weight-method refine {PER_TENSOR}",
}
BOOKS = {"power of two": (3, 4), "flint": (4,), "flint + refine": (4,), "auto book + refine": (4,)}  # widths that have such a code book
GOALS = ("plain + bias correction", "refine", "multipoint 5 % + refine")
# The most telling rows first, so that an interrupted run has them.
ORDER = ["multipoint 10 %", "OCS 10 %", "random points 10 %", "piecewise linear", "power of two", "flint", "plain",
         "error feedback", "multipoint 5 %", "multipoint 10 % + refine", "multipoint 2 %", "multipoint 2 % + refine",
         "flint + refine", "auto book + refine"]


def title_of(row):
    network, weights, acts, method, (_, test) = row
    return f"{network} W{weights}A{acts} {method}, {test}"


def rows():
    """Yields (network, weight bits, activation bits, method, (calibration data, test data))."""
    def on(networks, weights, acts, method, picks=(1, 2)):
        for network in networks:
            for pick in picks:
                if NETWORKS[network][pick]:
                    yield network, weights, acts, method, NETWORKS[network][pick]

    full = [network for network in NETWORKS if network not in SOME]
    for networks in (full[:4], full[4:], SOME):
        yield from on(networks, 8, 8, "plain + bias correction")
        for weights, acts in ((4, 8), (3, 8), (4, 4), (2, 8)):
            yield from on(networks, weights, acts, "refine")
        for method in ("plain + bias correction", "multipoint 5 % + refine"):
            for weights, acts in ((4, 8), (3, 8), (2, 8), (4, 4)):
                yield from on(networks, weights, acts, method)
        yield from on(networks, 4, 4, "learned", (2,))
    for networks in (full[:4], full[4:]):
        for method in ORDER:
            for weights in (4, 3, 2):
                if weights in BOOKS.get(method, (4, 3, 2)):
                    yield from on(networks, weights, 8, method, (1,))
    for method in METHODS:
        for weights in (4, 3):
            if method.startswith("per tensor"):
                yield from on(full[:4], weights, 8, method, (1,))


def run(narrow, arguments):
    """Runs `narrow`, testbed paths given as $NARROW_TESTBED/...; returns its JSON document."""
    words = [narrow] + [w.replace("$NARROW_TESTBED", str(TESTBED)) for w in shlex.split(arguments)]
    environment = {**os.environ, "GOMP_SPINCOUNT": "0"}
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"narrow {arguments}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def labels_of(data):
    """What `narrow eval` needs for data whose labels do not lie in its folders."""
    return f" --labels $NARROW_TESTBED/data/{data}_labels" if data in CAMVID else ""


def accuracy_of(score):
    """The figure that counts, and its name, of an eval document."""
    return (score["miou"], "mIoU") if "miou" in score else (score["top1"], "top-1")


def measure(narrow, row, floats, work, threads):
    """Makes the network of one row and tests it; `floats` keeps what the float networks reach."""
    network, weights, acts, method, (calib, test) = row
    preprocess = NETWORKS[network][0]
    onnx = f"$NARROW_TESTBED/models/{network}.onnx"
    flags = "" if weights == 8 else f"--weights {weights} {METHODS[method]}"
    flags += f" --acts {acts}" if acts < 8 else ""
    flags += " --learn 0" if acts < 8 and method != "learned" else ""
    flags = " ".join(flags.split())
    quantize = f"quantize {onnx} OUT.nw --calib $NARROW_TESTBED/data/{calib} {preprocess} {flags}".strip()
    data = f"--data $NARROW_TESTBED/data/{test}{labels_of(test)}"
    there = f" --json --threads {threads}"
    made = run(narrow, quantize.replace("OUT.nw", f"{work}/out.nw") + there)
    score = run(narrow, f"eval {work}/out.nw {data}{there}")
    accuracy, unit = accuracy_of(score)
    if (network, test) not in floats:
        floats[network, test] = accuracy_of(run(narrow, f"eval {onnx} {data} {preprocess}{there}"))[0]
    return {"title": title_of(row), "network": network, "weight_bits": weights, "activation_bits": acts,
            "method": method, "data": test, "unit": unit, "samples": score["samples"], "accuracy": accuracy,
            "standard_error": score.get("top1_standard_error"), "float": floats[network, test], "macs": made["macs"],
            "weight_bytes": made["weight_bytes"], "quantize_seconds": round(made["seconds"], 1),
            "narrow_mac_share": sum(w["mac_share"] for w in made["widths"] if w["weight_bits"] < 8),
            "command": f"narrow {quantize} && narrow eval OUT.nw {data}"}


def write(results):
    """accuracy.json and accuracy.md; rows that no longer exist are dropped."""
    known = {title_of(row) for row in rows()}
    results = sorted((r for r in results if r["title"] in known), key=lambda r: (
        list(NETWORKS).index(r["network"]), -r["activation_bits"], -r["weight_bits"], list(METHODS).index(r["method"]),
        r["data"]))
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "accuracy.json").write_text(json.dumps(results, indent=1) + "\n")
    (RESULTS / "accuracy.md").write_text(accuracy_report.page(results))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--narrow", default="build/narrow")
    parser.add_argument("--only", default="", help="rows whose title matches")
    parser.add_argument("--fresh", action="store_true", help="measure rows again that accuracy.json already has")
    parser.add_argument("--list", action="store_true", help="print titles, measure nothing")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    wanted = [row for row in rows() if re.search(arguments.only, title_of(row))]
    if arguments.list:
        print("\n".join(title_of(row) for row in wanted))
        return 0
    if not TESTBED.is_dir():
        print(f"SKIP: no test-bed at {TESTBED}; set NARROW_TESTBED", file=sys.stderr)
        return 0
    known = RESULTS / "accuracy.json"
    results = json.loads(known.read_text()) if known.is_file() else []
    floats = {(r["network"], r["data"]): r["float"] for r in results}
    write(results)
    with tempfile.TemporaryDirectory() as work:
        for row in wanted:
            if not arguments.fresh and any(r["title"] == title_of(row) and not r.get("note") for r in results):
                continue
            new = measure(arguments.narrow, row, floats, work, arguments.threads)
            results = [r for r in results if r["title"] != new["title"]] + [new]
            write(results)
            print(f"{new['title']}: {100 * new['accuracy']:.2f} (float {100 * new['float']:.2f}),"
                  f" {new['quantize_seconds']} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
