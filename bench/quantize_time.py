#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long `narrow quantize` takes: docs/results/quantize_time.md and quantize_time.json.

    python3 bench/quantize_time.py --narrow build/narrow [--only REGEX] [--threads 1,2]

W4A8 with learned rounding, everything as by default, all calibration samples; the seconds are those that `quantize --json`
tells, from the first sample to the finished network. Rows already in quantize_time.json are kept unless --only names them.
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
CROP = "--resize shorter_side:256 --crop center --mean 127.5 --std 127.5 --class-offset 1"
NETWORKS = {  # preprocessing, calibration data, seconds of AIMET-ONNX 2.42, AdaRound with 1,000 steps, 2 cores of another machine
    "resnet20-cifar10": (CIFAR, "cifar10-png/calib", 214),
    "resnet32-cifar10": (CIFAR, "cifar10-png/calib", 159),
    "mobilenetv2-cifar10": ("--mean 125.307,122.961,113.8575 --std 62.985,62.0925,66.708", "cifar10-png/calib", 290),
    "mobilenetv1-0.25-imagenet": (CROP, "imagenet/calib.csv", 401),
    "mobilenetv2-imagenet": (CROP, "imagenet/calib.csv", None),
    "unet-camvid": ("--mean 104.55,107.1,109.65 --std 76.5,79.05,79.05", "camvid/calib", None),
}

HEAD = """# Time to quantize

Written by `bench/quantize_time.py`: `narrow quantize --weights 4`, learned rounding and everything else as by default, seconds from
the first calibration sample to the finished network, one run each. AIMET-ONNX 2.42 (AdaRound, 1,000 steps a layer, 256 samples)
was timed on two cores of another machine, so the last column says what order of time it is, not a ratio.

| network | samples | one thread, s | two threads, s | AIMET, s |
|---|---|---|---|---|"""


def measure(narrow, name, threads, work):
    flags, calib, _ = NETWORKS[name]
    words = shlex.split(f"quantize {TESTBED}/models/{name}.onnx {work}/out.nw --calib {TESTBED}/data/{calib} {flags}"
                        f" --weights 4 --threads {threads} --json")
    done = subprocess.run([narrow, *words], check=False, capture_output=True, text=True,
                          env={**os.environ, "GOMP_SPINCOUNT": "0"})
    if done.returncode:
        sys.exit(f"{name}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def write(rows):
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "quantize_time.json").write_text(json.dumps(rows, indent=1) + "\n")
    lines = [HEAD]
    for row in rows:
        seconds = [f"{row['seconds'][t]:.1f}" if t in row["seconds"] else "" for t in ("1", "2")]
        lines.append(f"| {row['network']} | {row['samples']} | {seconds[0]} | {seconds[1]} | {NETWORKS[row['network']][2] or ''} |")
    (RESULTS / "quantize_time.md").write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--narrow", default="build/narrow")
    parser.add_argument("--only", default="", help="networks whose name matches")
    parser.add_argument("--threads", default="1,2")
    arguments = parser.parse_args()
    if not TESTBED.is_dir():
        print(f"SKIP: no test-bed at {TESTBED}; set NARROW_TESTBED", file=sys.stderr)
        return 0
    known = RESULTS / "quantize_time.json"
    rows = {r["network"]: r for r in (json.loads(known.read_text()) if known.is_file() else [])}
    with tempfile.TemporaryDirectory() as work:
        for name in NETWORKS:
            for threads in arguments.threads.split(","):
                row = rows.setdefault(name, {"network": name, "seconds": {}})
                if not re.search(arguments.only, name) or (threads in row["seconds"] and not arguments.only):
                    continue
                told = measure(arguments.narrow, name, threads, work)
                row["seconds"][threads] = round(told["seconds"], 1)
                row["samples"] = told["calibration_samples"]
                write([rows[n] for n in NETWORKS if n in rows and rows[n]["seconds"]])
                print(name, threads, row["seconds"][threads], flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
