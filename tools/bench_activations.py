#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Accuracy with activations of 3 to 6 bits, integer engine: docs/results/activations.md and activations.json.

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
import bench_accuracy  # noqa: E402
from bench_accuracy import CAMVID, JPEG, PNG, RESULTS, TESTBED, accuracy_of, labels_of, run  # noqa: E402

NETWORKS = ("resnet32-cifar10", "mobilenetv2-cifar10", "unet-camvid")
SEEDS = (1, 2, 3, 4, 5)
METHODS = {
    "direct": ["--learn 0"],
    "NoisyQuant": ["--act-method noisy --learn 0"],
    "DQA": ["--act-method dqa --learn 0"],
    "direct, 384 rounding samples": ["--rounding-samples 384 --learn 0"],
    "DQA, 384 rounding samples": ["--act-method dqa --rounding-samples 384 --learn 0"],
    "DQA, random channels": [f"--act-method dqa --act-ranking random --seed {seed} --learn 0" for seed in SEEDS],
    "learned": [""],
    "DQA, learned": ["--act-method dqa"],
    "planned": ["--target-acts {bits} --act-method dqa --learn 1200 --weight-storage packed"],
}


def rows():
    """Yields (network, activation bits, placement, method, data), the most telling first; weights have 8 bits."""
    data = {network: CAMVID if network == "unet-camvid" else PNG for network in NETWORKS}
    cifar = NETWORKS[:2]
    for network in reversed(cifar):
        for placement in ("all", "blocks"):
            for bits in (3, 4):
                for method in ("learned", "DQA, learned"):
                    yield network, bits, placement, method, data[network]
    for bits in (4, 3.5, 3):
        for network in cifar:
            yield network, bits, "all", "planned", data[network]
    for network in cifar:
        for placement in ("all", "blocks"):
            for bits in (4, 3):
                yield network, bits, placement, "direct", data[network]
                yield network, bits, placement, "direct, 384 rounding samples", data[network]
    for placement in ("all", "blocks"):
        for network in NETWORKS:
            for method in ("direct", "DQA", "NoisyQuant"):
                for bits in (3, 4, 5):
                    yield network, bits, placement, method, data[network]
            yield network, 6, placement, "direct", data[network]
    for network in cifar:
        for placement in ("all", "blocks"):
            for bits in (4, 3):
                yield network, bits, placement, "learned", JPEG
                yield network, bits, placement, "direct", JPEG
    for network in NETWORKS:
        for bits in (3, 4, 5):
            for method in ("learned", "DQA, learned"):
                yield network, bits, "all", method, data[network]
    for bits in (3, 4, 5):
        for network in NETWORKS:
            yield network, bits, "all", "DQA, random channels", data[network]
    for network in cifar:
        for bits in (3, 4):
            for method in ("DQA", "NoisyQuant", "direct, 384 rounding samples"):
                yield network, bits, "all", method, JPEG
            for placement in ("all", "blocks"):
                yield network, bits, placement, "DQA, 384 rounding samples", data[network]


def title_of(row):
    network, acts, placement, method, data = row
    return f"{network} W8A{acts} {placement} {method}, {data[1]}"


# A result with a note is of an earlier form of the method: shown with it, compared with nothing, measured again.
def measure(narrow, row, work, threads):
    network, acts, placement, method, (calib, data) = row
    onnx = f"$NARROW_TESTBED/models/{network}.onnx"
    preprocess = bench_accuracy.NETWORKS[network][0]
    result = {"title": title_of(row), "network": network, "activation_bits": acts, "placement": placement,
              "method": method, "data": data, "accuracies": [], "commands": []}
    for flags in METHODS[method]:
        everywhere = "" if method == "planned" else f"--acts {acts} --act-placement {placement} "
        flags = (everywhere + flags.format(bits=acts)).strip()
        quantize = f"quantize {onnx} OUT.nw --calib $NARROW_TESTBED/data/{calib} {preprocess} {flags}"
        evaluate = f"eval OUT.nw --data $NARROW_TESTBED/data/{data}{labels_of(network)} --against {onnx}"
        there = f" --json --threads {threads}"
        made = run(narrow, quantize.replace("OUT.nw", f"{work}/out.nw") + there)
        score = run(narrow, evaluate.replace("OUT.nw", f"{work}/out.nw") + there)
        bits = [run(narrow, f"eval {work}/out.nw --data $NARROW_TESTBED/data/{data}{labels_of(network)} --limit 32"
                            f" --activation-storage {storage}" + there)["stored_bits_per_value"] for storage in ("packed", "coded")]
        accuracy, unit = accuracy_of(score)
        result["accuracies"].append(accuracy)
        result["commands"].append(f"narrow {quantize} && narrow {evaluate}")
        result |= {"unit": unit, "samples": score["samples"], "float": accuracy_of(score["against"])[0],
                   "standard_error": score.get("top1_standard_error"), "agreement": score["agreement"],
                   "sqnr_db": score["sqnr_db"],
                   "bits_per_value": bits[0], "coded_bits_per_value": bits[1],
                   "quantize_seconds": round(made["seconds"], 1)}
    result["accuracy"] = statistics.mean(result["accuracies"])
    return result


HEAD = """# Activations of 3 to 6 bits

Written by `make bench-accuracy` (`tools/bench_activations.py`); integer engine, 8-bit weights, pictures that
calibration never saw, in percent. Lost: points below the float network on the same pictures. ±: one standard error of
the accuracy; differences below two of them are ties (mIoU stands without one). Placement `all`: every tensor of codes
but the network's input; `blocks`: outputs of blocks, the rest 8 bits. Both arms of a comparison have the same ranges,
bias correction and rounding. Bits per value: of packed storage as it is, and coded (`--activation-storage coded`, on
32 of the pictures; in rows measured earlier on the benchmark's input); DQA (3 extra bits in 40 % of the channels) at n bits therefore stands beside direct at n + 1.
Random channels: mean of five seeds. Weights and biases are fitted to 96 of the calibration samples, or to 384 where
the row says so (`--rounding-samples`; more memory and time while quantizing). Learned (the default): weights, biases
and clips then moved along their gradients on 1,000 calibration samples, an eighth of which only judges,
[methods](../methods.md#learning); the other rows are without (`--learn 0`). Planned: as many bits on average,
each tensor with widths of its own and DQA where that is worth its bits (`--target-acts`), then learned. Agreement: answers equal to the float
network's. Rows and cells marked `earlier` were learned by the form before: 600 updates, no judges, resnet32 in its
first third only; the next run measures them again. SQNR: of the outputs, in dB. Rows with 4-bit weights too are in [accuracy.md](accuracy.md).
"""
GOALS = {("all", 4): 1.5, ("all", 3): 3.0, ("blocks", 4): 0.7, ("blocks", 3): 1.5}  # points to lose, cifar10-png


def lost(r):
    return 100 * (r["float"] - r["accuracy"])


def error_of(r):
    return f" ± {100 * r['standard_error']:.2f}" if r["standard_error"] is not None else ""


def met(r, most):
    return "yes" if lost(r) <= most + 1e-9 else "**no**"


def goals(results):
    methods = ("learned", "direct", "direct, 384 rounding samples", "DQA", "DQA, learned")
    lines = ["## Goals", "", f"| network | placement | bits | aim | {' lost | met | '.join(methods)} lost | met |",
             "|---" * (4 + 2 * len(methods)) + "|"]
    by_title = {r["title"]: r for r in results}
    for network in NETWORKS[:2]:
        for (placement, bits), most in GOALS.items():
            cells = []
            for method in methods:
                row = by_title.get(title_of((network, bits, placement, method, PNG)))
                error = error_of(row) if row and method == "learned" else ""
                cells.append(f"{lost(row):.2f}{error}{row.get('note', '')} | {met(row, most)}" if row else "|")
            lines.append(f"| {network} | {placement} | {bits} | {most} | {' | '.join(cells)} |")
    return lines + [""]


# of n bits, and of n + 0 or n + 1
RIVALS = (("DQA", "direct", 0), ("DQA", "direct", 1), ("NoisyQuant", "direct", 0), ("learned", "direct", 0),
          ("DQA, learned", "DQA", 0), ("DQA, learned", "learned", 0), ("DQA, learned", "learned", 1), ("planned", "learned", 0))


WINNERS = """## Who wins

The same pictures on both sides. Points, agreement: by how much the first loses less and agrees more with the float
network, mean over the cells that have both. Ahead, behind: cells in which points differ by more than two standard
errors (as of independent pictures, which is careful). Coded bits per value: where both are known.

| first | second | cells | points | agreement | ahead | behind | coded bits |
|---|---|---|---|---|---|---|---|"""


def winners(results):
    """Every pair of rivals over all cells that have both; rivals of one method's n bits and the other's n or n + 1."""
    by_title = {r["title"]: r for r in results if not r.get("note")}
    lines = [WINNERS]
    for first, second, more in RIVALS:
        pairs = []
        for network, bits, placement, method, data in dict.fromkeys(rows()):
            a = by_title.get(title_of((network, bits, placement, first, data)))
            b = by_title.get(title_of((network, bits + more, placement, second, data)))
            if method == first and a and b:
                pairs.append((a, b))
        if not pairs:
            continue
        agree = statistics.mean(100 * (a["agreement"] - b["agreement"]) for a, b in pairs)
        gains = [100 * (a["accuracy"] - b["accuracy"]) for a, b in pairs]
        sure = [gain / (100 * (a["standard_error"]**2 + b["standard_error"]**2)**0.5)
                for gain, (a, b) in zip(gains, pairs) if a["standard_error"] is not None]
        coded = [[r["coded_bits_per_value"] for r in pair] for pair in pairs
                 if all("coded_bits_per_value" in r for r in pair)]
        bits = " against ".join(f"{statistics.mean(side):.2f}" for side in zip(*coded)) if coded else ""
        lines.append(f"| {first}, n bits | {second}, {'n + 1' if more else 'n'} | {len(pairs)} |"
                     f" {statistics.mean(gains):+.2f} | {agree:+.2f} | {sum(s > 2 for s in sure)} | {sum(s < -2 for s in sure)} | {bits} |")
    return lines + [""]


def table(results, network):
    lines = [f"## {network}", "", "| bits | placement | method | data | pictures | accuracy | float | lost |"
             " agreement | SQNR | bits per value | coded |", "|---" * 12 + "|"]
    for r in results:
        if r["network"] != network:
            continue
        sqnr = f"{r['sqnr_db']:.1f}" if "sqnr_db" in r else ""
        coded = f"{r['coded_bits_per_value']:.2f}" if "coded_bits_per_value" in r else ""
        lines.append(
            f"| {r['activation_bits']} | {r['placement']} | {r['method']}{r.get('note', '')} | {r['data']} | {r['samples']} |"
            f" {100 * r['accuracy']:.2f}{error_of(r)} {r['unit']} | {100 * r['float']:.2f} | {lost(r):.2f} |"
            f" {100 * r['agreement']:.2f} | {sqnr} | {r['bits_per_value']:.2f} | {coded} |")
    return lines + [""]


def write(results):
    order = {title_of(row): i for i, row in enumerate(sorted(rows(), key=lambda r: (
        NETWORKS.index(r[0]), r[4][1], r[2], r[1], list(METHODS).index(r[3]))))}
    results = sorted((r for r in results if r["title"] in order), key=lambda r: order[r["title"]])
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "activations.json").write_text(json.dumps(results, indent=1) + "\n")
    lines = [HEAD] + goals(results) + winners(results)
    for network in NETWORKS:
        if any(r["network"] == network for r in results):
            lines += table(results, network)
    lines += ["## Commands", "", "`$NARROW_TESTBED` is the test-bed's folder.", "", "```sh"]
    lines += [command for r in results for command in r["commands"]] + ["```"]
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
    write(results)
    done = set()
    with tempfile.TemporaryDirectory() as work:
        for row in rows():
            title = title_of(row)
            old = any(r["title"] == title and not r.get("note") for r in results)
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
