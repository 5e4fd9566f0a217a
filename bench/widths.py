#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What narrow weights cost and save: docs/results/widths.md and widths.json.

    python3 bench/widths.py --narrow build/narrow [--random FOLDER] [--only REGEX] [--prefix "taskset -c 1"]

Times of W4A8 and W2A8 over W8A8 per kernel family, one thread, the two networks taking turns within one `narrow bench`; bytes
of the files; time of `narrow inspect`, which reads and checks a file. FOLDER holds *-random.onnx of the test bed's
make_random_models.py. Rows already in widths.json are kept unless --only names their network.
"""
import argparse
import json
import os
import pathlib
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"
TESTBED = pathlib.Path(os.environ.get("NARROW_TESTBED", ROOT / ".." / "shared" / "testbed"))
CIFAR = "--mean 123.675,116.28,103.53 --std 58.395,57.12,57.375"
IMAGENET = "--resize shorter_side:256 --crop center --mean 127.5 --std 127.5 --class-offset 1"
RANDOM = "--resize shorter_side:256 --crop center --mean 123.675,116.28,103.53 --std 58.395,57.12,57.375 --channel-order RGB"
NETWORKS = {  # preprocessing, calibration data, runs of a timing
    "resnet20-cifar10": (CIFAR, "cifar10-png/calib", 101),
    "resnet56-cifar10": (CIFAR, "cifar10-png/calib", 41),
    "mobilenetv2-imagenet": (IMAGENET, "imagenet/calib.csv", 15),
    "resnet18-random": (RANDOM, "imagenet/calib.csv", 7),
    "resnet50-random": (RANDOM, "imagenet/calib.csv", 5),
    "vgg16-random": (RANDOM, "imagenet/calib.csv", 5),
    "ad-autoencoder": ("", "ad01/normal_id_01_00000000.npy", 5001),
}
ISAS = ("avx2", "avxvnni", "avx512", "avx512vnni")
ROUNDS = 3


def run(narrow, arguments, prefix="", isa=""):
    words = shlex.split(prefix) + [narrow] + shlex.split(arguments)
    environment = {**os.environ, "GOMP_SPINCOUNT": "0", **({"NARROW_ISA": isa} if isa else {})}
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"narrow {arguments}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def made(narrow, name, weights, onnx, work):
    path = pathlib.Path(work) / f"{name}-W{weights}.nw"
    if not path.exists():
        flags, calib, _ = NETWORKS[name]
        run(narrow, f"quantize {onnx} {path}.part.nw --calib {TESTBED}/data/{calib} {flags} --weights {weights} --samples 16"
                    " --weight-method plain --bias-correction analytic --threads 1 --json")
        os.rename(f"{path}.part.nw", path)
    return path


def read_seconds(narrow, path):
    seconds = []
    for _ in range(7):
        start = time.perf_counter()
        run(narrow, f"inspect {path} --json")
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def engine_bytes(narrow, path, isa):
    return run(narrow, f"bench {path} --runs 1 --threads 1 --no-layers --json", isa=isa)["engine_bytes"]


def measure(narrow, name, onnx, work, prefix):
    files = {weights: made(narrow, name, weights, onnx, work) for weights in (8, 4, 2)}
    row = {"network": name, "bytes": {w: files[w].stat().st_size for w in files}, "ratio": {},
           "read": {w: read_seconds(narrow, files[w]) for w in files}}
    available = {f["name"] for f in run(narrow, "cpu --json")["families"] if f["available"]}
    for isa in (isa for isa in ISAS if isa in available):
        row["ratio"][isa] = {
            w: statistics.median(1 / run(narrow, f"bench {files[w]} --against {files[8]} --runs {NETWORKS[name][2]} --threads 1"
                                                 " --no-layers --json", prefix, isa)["against"]["ratio"] for _ in range(ROUNDS))
            for w in (4, 2)}
        row["engine"] = {w: engine_bytes(narrow, files[w], isa) for w in files}  # of the last family
    return json.loads(json.dumps(row))


HEAD = """# Widths of weights

Written by `bench/widths.py`. In convolutions weights are unpacked to bytes when an engine is built and kernels compute with the
bytes, so a narrower width changes a run's time only through the sums: products of narrow weights stay in 16 bits for longer (AVX2,
AVX-512 without VNNI), which VNNI does not need; it saves bytes of the file, not memory of the engine. 3 x 3 layers with stride 1 run by
Winograd's convolution where that is faster than their products in bytes, and its products are of 16 bits at any width: networks of
such layers gain nothing at run time, networks of 1 x 1 layers do. Where one or a few pixels
share the weights (fully connected layers) weights of 4 and 2 bits stay packed and are unpacked in registers: less memory, and
less time where they come from it. Time over that of W8A8, one thread, the two networks taking turns, medians; weights rounded to
nearest, first and last layer at 8 bits. Below 1 is faster; differences of 3 % come and go between runs; the machine was shared.

| network | kernels | W4A8 | W2A8 |
|---|---|---|---|"""


def write(rows):
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "widths.json").write_text(json.dumps(rows, indent=1) + "\n")
    def word(ratio):
        return f"{ratio:.2f}" + ("" if ratio < 0.97 else ", not faster")
    lines = [HEAD] + [f"| {row['network']} | {isa} | {word(r['4'])} | {word(r['2'])} |"
                      for row in rows for isa, r in row["ratio"].items()]
    lines += ["", "Bytes of the file, packed, and the time `narrow inspect` takes to read and check it, over that of W8A8 (with the start of"
              " the process).", "", "| network | W8A8, bytes | W4A8 | W2A8 | time to read, W4A8 | W2A8 |", "|---|---|---|---|---|---|"]
    for row in rows:
        b, t = row["bytes"], row["read"]
        lines.append(f"| {row['network']} | {b['8']:,} | {b['4']:,} | {b['2']:,} | {t['4'] / t['8']:.2f} | {t['2'] / t['8']:.2f} |")
    lines += ["", "Bytes of the engine: activations, packed weights and the rest, with the kernels named last above.", "",
              "| network | W8A8 | W4A8 | W2A8 |", "|---|---|---|---|"]
    lines += [f"| {row['network']} | {row['engine']['8']:,} | {row['engine']['4']:,} | {row['engine']['2']:,} |"
              for row in rows if "engine" in row]
    (RESULTS / "widths.md").write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--narrow", default="build/narrow")
    parser.add_argument("--random", default="", help="folder of *-random.onnx")
    parser.add_argument("--only", default="", help="networks whose name matches")
    parser.add_argument("--prefix", default="", help="put before `narrow bench`")
    parser.add_argument("--work", default="", help="folder for the quantized networks, kept; default: a temporary one")
    arguments = parser.parse_args()
    if not TESTBED.is_dir():
        print(f"SKIP: no test-bed at {TESTBED}; set NARROW_TESTBED", file=sys.stderr)
        return 0
    known = RESULTS / "widths.json"
    rows = {r["network"]: r for r in (json.loads(known.read_text()) if known.is_file() else [])}
    with tempfile.TemporaryDirectory() as temporary:
        for name in NETWORKS:
            onnx = pathlib.Path(arguments.random) / f"{name}.onnx" if name.endswith("random") else TESTBED / "models" / f"{name}.onnx"
            if not re.search(arguments.only, name) or not onnx.is_file() or (name in rows and not arguments.only):
                continue
            rows[name] = measure(arguments.narrow, name, onnx, arguments.work or temporary, arguments.prefix)
            write([rows[n] for n in NETWORKS if n in rows])
            print(name, rows[name], flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
