#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Accuracy with activations of 3 to 5 bits, integer engine: docs/results/activations.md and activations.json.

    python3 tools/bench_activations.py --narrow build/narrow [--only REGEX] [--fresh]

Works as bench_accuracy.py, whose helpers it uses: known rows are kept unless --fresh is given.
"""
import argparse
import json
import pathlib
import re
import statistics
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from bench_accuracy import CIFAR, RESULTS, TESTBED, run  # noqa: E402

PNG = ("cifar10-png/calib", "cifar10-png/test")
JPEG = ("cifar10/calib", "cifar10/test")
NETWORKS = {
    "resnet20-cifar10": CIFAR,
    "resnet32-cifar10": CIFAR,
    "mobilenetv2-cifar10": "--mean 125.307,122.961,113.8575 --std 62.985,62.0925,66.708",
    "unet-camvid": "--mean 104.55,107.1,109.65 --std 76.5,79.05,79.05",
}
CAMVID = ("camvid/calib", "camvid/test")
SEEDS = (1, 2, 3, 4, 5)
METHODS = {
    "direct": [""],
    "NoisyQuant": ["--act-method noisy"],
    "DQA": ["--act-method dqa"],
    "DQA, random channels": [f"--act-method dqa --act-ranking random --seed {seed}" for seed in SEEDS],
}


def rows():
    """Yields (network, weight bits, activation bits, placement, method, data), the most telling first."""
    claimed = ("resnet32-cifar10", "mobilenetv2-cifar10", "unet-camvid")
    data = {network: CAMVID if network == "unet-camvid" else PNG for network in NETWORKS}
    for network in claimed[:2]:
        for placement in ("all", "blocks"):
            for bits in (4, 3):
                yield network, 8, bits, placement, "direct", data[network]
    for network in ("resnet20-cifar10",) + claimed[:2]:
        yield network, 4, 4, "all", "direct", PNG
    for network in claimed:
        for bits in (3, 4, 5):
            for method in ("direct", "DQA", "NoisyQuant"):
                yield network, 8, bits, "all", method, data[network]
    for network in claimed:
        yield network, 8, 6, "all", "direct", data[network]
        for bits in (3, 4, 5, 6):
            yield network, 8, bits, "blocks", "direct", data[network]
            if bits < 6:
                yield network, 8, bits, "blocks", "DQA", data[network]
    for network in claimed[:2]:
        yield network, 8, 3, "all", "DQA, random channels", data[network]
    for network in ("resnet20-cifar10",) + claimed[:2]:
        yield network, 4, 4, "all", "direct", JPEG
    for network in claimed[:2]:
        yield network, 8, 4, "all", "direct", JPEG


def title_of(row):
    network, weights, acts, placement, method, data = row
    return f"{network} W{weights}A{acts} {placement} {method}, {data[1]}"


def measure(narrow, row, work, threads):
    network, weights, acts, placement, method, (calib, data) = row
    onnx = f"$NARROW_TESTBED/models/{network}.onnx"
    labels = " --labels $NARROW_TESTBED/data/camvid/test_labels" if network == "unet-camvid" else ""
    result = {"title": title_of(row), "network": network, "weight_bits": weights, "activation_bits": acts,
              "placement": placement, "method": method, "data": data, "accuracies": [], "commands": []}
    for flags in METHODS[method]:
        flags = f"--weights {weights} --acts {acts} --act-placement {placement} {flags}".strip()
        quantize = f"quantize {onnx} OUT.nw --calib $NARROW_TESTBED/data/{calib} {NETWORKS[network]} {flags}"
        evaluate = f"eval OUT.nw --data $NARROW_TESTBED/data/{data}{labels} --against {onnx}"
        there = f" --json --threads {threads}"
        made = run(narrow, quantize.replace("OUT.nw", f"{work}/out.nw") + there)
        score = run(narrow, evaluate.replace("OUT.nw", f"{work}/out.nw") + there)
        bench = run(narrow, f"bench {work}/out.nw --activation-storage packed --runs 1 --json --no-layers")
        key = "miou" if "miou" in score else "top1"
        result["accuracies"].append(score[key])
        result["commands"].append(f"narrow {quantize} && narrow {evaluate}")
        result |= {"unit": "mIoU" if key == "miou" else "top-1", "samples": score["samples"],
                   "float": score["against"][key], "standard_error": score.get("top1_standard_error"),
                   "agreement": score["agreement"], "bits_per_value": bench["stored_bits_per_value"],
                   "quantize_seconds": round(made["seconds"], 1)}
    result["accuracy"] = statistics.mean(result["accuracies"])
    return result


HEAD = """# Activations of 3 to 5 bits

Written by `tools/bench_activations.py` (`make bench-accuracy`); integer engine, images that calibration never saw, in percent. Lost:
points below the float network on the same images. Placement `all`: every tensor of codes but the network's input; `blocks`:
outputs of blocks, the rest 8 bits. Both arms of a comparison have the same ranges, bias correction and rounding. Bits per
value: of packed storage without coding; DQA (3 extra bits in 40 % of the channels) at n bits therefore stands beside direct at
n + 1. Random channels: mean of five seeds. Agreement: answers equal to the float network's. Differences below two standard errors are ties.
"""


def write(results):
    order = {title_of(row): i for i, row in enumerate(sorted(rows(), key=lambda r: (
        list(NETWORKS).index(r[0]), r[5][1], r[3], -r[1], r[2], list(METHODS).index(r[4]))))}
    results = sorted((r for r in results if r["title"] in order), key=lambda r: order[r["title"]])
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "activations.json").write_text(json.dumps(results, indent=1) + "\n")
    lines = [HEAD]
    for network in NETWORKS:
        mine = [r for r in results if r["network"] == network]
        if not mine:
            continue
        lines += [f"## {network}", "", "| widths | placement | method | data | images | accuracy | standard error | float |"
                  " lost | agreement | bits per value |", "|---|---|---|---|---|---|---|---|---|---|---|"]
        for r in mine:
            error = f"{100 * r['standard_error']:.2f}" if r["standard_error"] is not None else ""
            lines.append(
                f"| W{r['weight_bits']}A{r['activation_bits']} | {r['placement']} | {r['method']} | {r['data']} |"
                f" {r['samples']} | {100 * r['accuracy']:.2f} {r['unit']} | {error} | {100 * r['float']:.2f} |"
                f" {100 * (r['float'] - r['accuracy']):.2f} | {100 * r['agreement']:.2f} | {r['bits_per_value']:.2f} |")
        lines.append("")
    lines += ["## Commands", "", "`$NARROW_TESTBED` is the test-bed's folder.", "", "```sh"]
    lines += [command for r in results for command in r["commands"]]
    lines += ["```"]
    (RESULTS / "activations.md").write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--narrow", default="build/narrow")
    parser.add_argument("--only", default="", help="rows whose title matches")
    parser.add_argument("--fresh", action="store_true", help="measure rows again that activations.json already has")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if not TESTBED.is_dir():
        print(f"SKIP: no test-bed at {TESTBED}; set NARROW_TESTBED", file=sys.stderr)
        return 0
    known = RESULTS / "activations.json"
    results = json.loads(known.read_text()) if known.is_file() else []
    done = set()
    with tempfile.TemporaryDirectory() as work:
        for row in rows():
            title = title_of(row)
            old = any(r["title"] == title for r in results)
            if title in done or not re.search(arguments.only, title) or (old and not arguments.fresh):
                continue
            done.add(title)
            new = measure(arguments.narrow, row, work, arguments.threads)
            results = [r for r in results if r["title"] != title] + [new]
            write(results)
            print(f"{title}: {100 * new['accuracy']:.2f} (float {100 * new['float']:.2f})", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
