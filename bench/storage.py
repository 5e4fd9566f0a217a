#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What stored activations take, in bits and in time: docs/results/storage.md and storage.json.

    python3 bench/storage.py --narrow build/narrow [--only REGEX] [--stages bits,time] [--prefix "taskset -c 1"]

`bits`: average bits of a code by `narrow eval`, on pictures that the codes of `quantize --act-codes` were not fitted to.
`time`: share of a run that packing and unpacking take, one thread, storages taking turns; of nine rounds the quietest counts.
Networks are quantized with 8-bit weights, rounded to nearest, on 64 samples: what tensors hold hardly depends on that. Parts
already in storage.json are kept unless --only names their row.
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
NETWORKS = {  # preprocessing, calibration data, test data, pictures, runs of a timing
    "resnet32-cifar10": (CIFAR, "cifar10-png/calib", "cifar10-png/test", 64, 41),
    "mobilenetv2-cifar10": ("--mean 125.307,122.961,113.8575 --std 62.985,62.0925,66.708", "cifar10-png/calib",
                            "cifar10-png/test", 64, 41),
    "unet-camvid": ("--mean 104.55,107.1,109.65 --std 76.5,79.05,79.05", "camvid/calib", "camvid/test", 8, 11),
    "resnet56-cifar10": (CIFAR, "cifar10-png/calib", "cifar10-png/test", 64, 41),
    "mobilenetv2-imagenet": ("--resize shorter_side:256 --crop center --mean 127.5 --std 127.5 --class-offset 1",
                             "imagenet/calib.csv", "imagenet/test.csv", 16, 11),
}
WIDTHS = {"A3": "--acts 3", "A4": "--acts 4", "A5": "--acts 5", "A3 DQA": "--acts 3 --act-method dqa",
          "A4 DQA": "--acts 4 --act-method dqa"}
STORAGES = ("packed", "coded", "huffman")
ISAS = ("avx2", "avx512vnni")
ROUNDS = 9  # of which the quietest counts, each the median of its runs


def run(narrow, arguments, prefix="", isa=""):
    words = shlex.split(prefix) + [narrow] + shlex.split(arguments)
    environment = {**os.environ, "GOMP_SPINCOUNT": "0", **({"NARROW_ISA": isa} if isa else {})}
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"narrow {arguments}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def made(narrow, network, width, work):
    """The network's path, and what quantizing it told of its codes."""
    flags, calib, _, _, _ = NETWORKS[network]
    path = pathlib.Path(work) / f"{network}-{width.replace(' ', '-')}.nw"
    told = path.with_suffix(".json")
    if not told.exists():
        report = run(narrow, f"quantize {TESTBED}/models/{network}.onnx {path} --calib {TESTBED}/data/{calib} {flags}"
                             f" {WIDTHS[width]} --samples 64 --weight-method plain --act-codes --threads 1 --json")
        told.write_text(json.dumps(report))
    return path, json.loads(told.read_text())


def bits(narrow, network, width, work):
    path, report = made(narrow, network, width, work)
    _, _, test, limit, _ = NETWORKS[network]
    labels = f" --labels {TESTBED}/data/camvid/test_labels" if network == "unet-camvid" else ""
    row = {"entropy": report["activation_entropy"], "pictures": limit}
    for storage in STORAGES:
        told = run(narrow, f"eval {path} --data {TESTBED}/data/{test}{labels} --limit {limit} --activation-storage {storage}"
                           " --threads 1 --json")
        row[storage] = told["stored_bits_per_value"]
    return row


def time(narrow, network, width, work, prefix, isa):
    path, _ = made(narrow, network, width, work)
    told = {storage: [] for storage in ("bytes", *STORAGES)}
    for storage in list(told) * ROUNDS:
        told[storage].append(run(narrow, f"bench {path} --activation-storage {storage} --runs {NETWORKS[network][4]}"
                                         " --threads 1 --no-layers --json", prefix, isa))
    def least(storage, key):
        return min(t[key] for t in told[storage])
    return {storage: {"share": least(storage, "coding_milliseconds") / least(storage, "milliseconds"),
                      "time": least(storage, "milliseconds") / least("bytes", "milliseconds"),
                      "arena": told[storage][0]["activation_bytes"] / told["bytes"][0]["activation_bytes"]}
            for storage in STORAGES}


HEAD = """# Stored activations

Written by `bench/storage.py`. Bits: mean of a stored code on test pictures. Packed is its width (with DQA's extra bits); coded
has a map of what is not the zero point; Huffman the words that `quantize --act-codes` fitted to calibration samples. Entropy: of
the symbols of each tensor, pairs of neighbouring pixels up to 4 bits, on the calibration samples: what a code of its own for
every tensor might come near without rows, slots and words of whole bits.

| network | activations | pictures | packed | coded | Huffman | entropy |
|---|---|---|---|---|---|---|"""

COST = """Packing and unpacking at one thread, in percent of the time of a run; in brackets the whole run's time and
its arena, over those with activations in bytes. The aim was 25 % at most on AVX2. Without DQA, packing and a map keep
to it. DQA's low bits lie apart and are moved once more each way, which shows on networks that compute few products
per code. In bytes 3 x 3 layers run by Winograd's convolution where that is faster, over stored rows they do not: on
the ResNets and unet-camvid that is a good part of what whole runs lose.

Words do not keep to it. Limit: a word is found by a look-up that has to wait for the one before, 7 cycles for mask,
load and shift, about 10 with every fifth one's refill; four streams, and pairs of codes as symbols, make that 1.3
cycles a code. Came out: 0.35 ns, about 1.3 cycles, reading, and nearly as much writing. 25 % of
mobilenetv2-imagenet's time would be 0.3 cycles a code each way, which a map with its packed codes just takes, because
shuffles move 8 codes at once. Tried and left out: two symbols a look-up where both fit into 11 bits, 8 kB more a code
(reading 14 % faster on rows of 10,752 codes, not at all on rows of 512); shifts by BMI2 (writing 14 % faster by
itself, nothing in a whole run). Words are for where bytes are dearer than time."""


def write(rows):
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "storage.json").write_text(json.dumps(rows, indent=1) + "\n")
    lines = [HEAD]
    for row in rows:
        if "bits" in row:
            b = row["bits"]
            lines.append(f"| {row['network']} | {row['width']} | {b['pictures']} |"
                         f" {b['packed']:.2f} | {b['coded']:.2f} | {b['huffman']:.2f} | {b['entropy']:.2f} |")
    lines += ["", COST, "",
              "| network | activations | kernels | packed | coded | Huffman |", "|---|---|---|---|---|---|"]
    for row in rows:
        for isa, t in row.get("time", {}).items():
            lines.append(f"| {row['network']} | {row['width']} | {isa} |" + "|".join(
                f" {100 * t[s]['share']:.0f} % ({t[s]['time']:.2f}, {t[s]['arena']:.2f}) " for s in STORAGES) + "|")
    (RESULTS / "storage.md").write_text("\n".join(lines) + "\n")


def wanted():
    """Yields (network, width, stages)."""
    for network in list(NETWORKS)[:3]:
        for width in WIDTHS:
            yield network, width, ("bits", "time") if width == "A4 DQA" else ("bits",)
    for network in ("resnet56-cifar10", "mobilenetv2-imagenet", "unet-camvid"):
        yield network, "A4", ("bits", "time")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--narrow", default="build/narrow")
    parser.add_argument("--only", default="", help="rows whose network and width match")
    parser.add_argument("--stages", default="bits,time")
    parser.add_argument("--prefix", default="", help="put before `narrow bench`")
    parser.add_argument("--work", default="", help="folder for the quantized networks, kept; default: a temporary one")
    arguments = parser.parse_args()
    if not TESTBED.is_dir():
        print(f"SKIP: no test-bed at {TESTBED}; set NARROW_TESTBED", file=sys.stderr)
        return 0
    known = RESULTS / "storage.json"
    rows = {(r["network"], r["width"]): r for r in (json.loads(known.read_text()) if known.is_file() else [])}
    order = list(dict.fromkeys((network, width) for network, width, _ in wanted()))
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or temporary
        for network, width, stages in wanted():
            if not re.search(arguments.only, f"{network} {width}"):
                continue
            row = rows.setdefault((network, width), {"network": network, "width": width})
            if "bits" in stages and "bits" in arguments.stages and (arguments.only or "bits" not in row):
                row["bits"] = bits(arguments.narrow, network, width, work)
            if "time" in stages and "time" in arguments.stages and (arguments.only or "time" not in row):
                row["time"] = {isa: time(arguments.narrow, network, width, work, arguments.prefix, isa) for isa in ISAS}
            write([rows[key] for key in order if key in rows])
            print(network, width, row.get("bits", ""), row.get("time", ""), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
