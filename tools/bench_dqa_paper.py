#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The DQA paper's own setting, simulated in the float engine: docs/results/dqa-paper.json, shown in activations.md.

    python3 tools/bench_dqa_paper.py --program build/tests/models/dqa_paper [--only REGEX] [--fresh]

tests/models/dqa_paper.c says what the setting is. Rows of a network that are known are kept unless --fresh is
given. Networks and data come from the test-bed, as in bench_accuracy.py; dqa_claims.py turns the rows into sections.
"""
import argparse
import json
import pathlib
import re
import shlex
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import bench_activations  # noqa: E402
from bench_accuracy import CAMVID, NETWORKS, PNG, RESULTS, TESTBED  # noqa: E402

FILE = RESULTS / "dqa-paper.json"
WIDTHS = "3,4,5"
# Network, pictures in a batch, batches that rank channels by accuracy, data, [height, width].
RUNS = (("resnet32-cifar10", 166, 3, PNG, (32, 32)),
        ("mobilenetv2-cifar10", 166, 3, PNG, (32, 32)),
        ("unet-camvid", 10, 0, CAMVID, (176, 240)))


def preprocess_of(network, size):
    """The flags of bench_accuracy.NETWORKS (--mean, --std) as JSON."""
    words = NETWORKS[network][0].split()
    numbers = {flag: [float(v) for v in values.split(",")] for flag, values in zip(words[::2], words[1::2])}
    return json.dumps({"size": size, "mean": numbers["--mean"], "std": numbers["--std"]})


def command_of(run):
    network, batch, ranking, data, size = run
    folders = [f"$NARROW_TESTBED/data/{d}" for d in data]
    labels = [folder + "_labels" for folder in folders] if data == CAMVID else []
    words = [*folders, str(batch), WIDTHS, str(ranking), *labels]
    return f"dqa_paper $NARROW_TESTBED/models/{network}.onnx '{preprocess_of(network, size)}' {' '.join(words)}"


def measure(program, run):
    """Rows of one run; one row for the five random choices."""
    command = command_of(run)
    words = [w.replace("$NARROW_TESTBED", str(TESTBED)) for w in shlex.split(command)]
    done = subprocess.run([program] + words[1:], check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command}: {done.stderr.strip()}")
    made = {}
    for line in done.stdout.splitlines():
        row = json.loads(line)
        made.setdefault((row["method"], row["bits"]), []).append(row)
    rows = []
    for same in made.values():
        mean = {key: statistics.mean(row[key] for row in same)
                for key in ("accuracy", "agreement", "sqnr_db", "bits_per_value") if key in same[0]}
        ranking = {"by error": run[1], "by accuracy": run[1] * run[2]}
        mean |= {"ranking_pictures": n for rule, n in ranking.items() if rule in same[0]["method"]}
        rows.append({"network": run[0], "data": run[3][1], **same[0], **mean,
                     "accuracies": [row["accuracy"] for row in same], "command": command})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="build/tests/models/dqa_paper")
    parser.add_argument("--only", default="", help="networks whose name matches")
    parser.add_argument("--fresh", action="store_true", help="measure networks again whose rows are known")
    arguments = parser.parse_args()
    if not TESTBED.is_dir():
        print(f"SKIP: no test-bed at {TESTBED}; set NARROW_TESTBED", file=sys.stderr)
        return 0
    rows = json.loads(FILE.read_text()) if FILE.is_file() else []
    commands = [command_of(run) for run in RUNS]
    rows = [row for row in rows if row["command"] in commands]
    for run, command in zip(RUNS, commands):
        old = any(row["command"] == command for row in rows)
        if not re.search(arguments.only, run[0]) or (old and not arguments.fresh):
            continue
        rows = [row for row in rows if row["command"] != command] + measure(arguments.program, run)
        rows.sort(key=lambda row: commands.index(row["command"]))
        FILE.write_text(json.dumps(rows, indent=1) + "\n")
        print(run[0], flush=True)
    bench_activations.write(bench_activations.known())
    return 0


if __name__ == "__main__":
    sys.exit(main())
