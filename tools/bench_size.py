#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bytes of .nw files with packed and with coded weights, and the time to read them: docs/results/size.md and size.json.

    python3 tools/bench_size.py --narrow build/narrow [--only REGEX] [--fresh] [--load]

Rows already in size.json are kept unless --fresh is given; --load times reading anew. Every network of the test-bed
(NARROW_TESTBED, default ../shared/testbed) is quantized at 8, 4, 3 and 2 bits with nearest codes, packed and coded. The
entropy is that of each layer's values by themselves, as if they were drawn independently. Needs numpy.
"""
import argparse
import json
import os
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import tempfile

import numpy

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"
TESTBED = pathlib.Path(os.environ.get("NARROW_TESTBED", ROOT / ".." / "shared" / "testbed"))
WIDTHS = (8, 4, 3, 2)
SAMPLES = 32
READS = 21
CALIBRATION = {"cifar10": "cifar10/calib", "cifar10-png": "cifar10/calib", "imagenet": "imagenet/calib", "camvid": "camvid/calib",
               "kws01": "kws01/calib.npy", "ad01": "ad01/normal_id_01_00000000.npy", "samples/faces": "samples/faces"}


def run(narrow, *arguments):
    environment = {**os.environ, "GOMP_SPINCOUNT": "0"}
    done = subprocess.run([narrow, *map(str, arguments)], check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"narrow {' '.join(map(str, arguments))}: {done.stderr.strip()}")
    return done.stdout


def header_of(data):
    """Tensors and graph of a .nw file, and where its data begins."""
    n = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + n])
    return header, json.loads(header.pop("__metadata__")["narrow.graph"]), 8 + n


def entropy_bytes(data):
    """Sum over layers of values times the entropy of one, from a packed file."""
    header, graph, begin = header_of(data)
    total, before = 0.0, 0
    for i, node in enumerate(graph["nodes"]):
        x, before = graph["tensors"][node.get("inputs", [before])[0]], node.get("output", before + 1)
        if f"n{i}.weights" not in header:
            continue
        entry = header[f"n{i}.weights"]
        first, last = entry["data_offsets"]
        rows = numpy.frombuffer(data, numpy.uint8, last - first, begin + first).reshape(entry["shape"])
        bits = node.get("weight_bits", 8)
        kernel = node.get("kernel", [1, 1])
        k = kernel[0] * kernel[1] * x["dims"][1] // node.get("groups", 1)
        stream = numpy.unpackbits(rows, axis=1, bitorder="little")[:, :k * bits].reshape(-1, bits)
        _, counts = numpy.unique((stream << numpy.arange(bits)).sum(axis=1), return_counts=True)
        total -= (counts * numpy.log2(counts / counts.sum())).sum() / 8
    return total


def quantize(narrow, network, bits, storage, folder):
    """The file's path; kept for timing."""
    dataset = network["dataset"][0] if network["dataset"] else "imagenet"
    preprocess = folder / f"{network['name']}.json"
    kept = {k: v for k, v in network["preprocess"].items() if v is not None and k != "layout"}
    preprocess.write_text(json.dumps(kept), encoding="utf-8")
    out = folder / f"{network['name']}-{bits}-{storage}.nw"
    options = [] if len(kept.get("size", [])) < 2 or dataset == "kws01" else ["--preprocess", preprocess]
    run(narrow, "quantize", TESTBED / network["file"], out, "--calib", TESTBED / "data" / CALIBRATION.get(dataset, "imagenet/calib"),
        "--samples", SAMPLES, "--weights", bits, "--weight-method", "plain", "--weight-range", "mse", "--bias-correction", "none",
        "--weight-storage", storage, "--threads", 1, *options)
    return out


def measure(narrow, network, bits, folder):
    packed, coded = (quantize(narrow, network, bits, storage, folder) for storage in ("packed", "coded"))
    hashes = {run(narrow, "verify", path).split()[-2] for path in (packed, coded)} if bits == 4 else {""}
    assert len(hashes) == 1, f"{network['name']}: other answers"
    shares = {p: json.loads(run(narrow, "inspect", p, "--json")) for p in (packed, coded)}
    return {"network": network["name"], "weight_bits": bits, "onnx_bytes": network["bytes"],
            "packed_file": packed.stat().st_size, "coded_file": coded.stat().st_size,
            "packed_weights": shares[packed]["weight_bytes"], "coded_weights": shares[coded]["weight_bytes"],
            "entropy": round(entropy_bytes(packed.read_bytes()))}


def seconds_to_inspect(narrow, path):
    """Processor time: other programs on the machine disturb it less."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(narrow, "inspect", path, "--json")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def load(narrow, network, bits, folder):
    """Medians, interleaved: packed, coded, and the smallest network for the start of the program."""
    paths = [folder / f"{network}-{bits}-{storage}.nw" for storage in ("packed", "coded")]
    paths.append(ROOT / "tests" / "models" / "golden" / "random_271.nw")
    times = [[seconds_to_inspect(narrow, path) for path in paths] for _ in range(READS)]
    packed, coded, start = (1e3 * statistics.median(column) for column in zip(*times))
    return {"network": network, "weight_bits": bits, "packed_ms": round(packed - start, 2), "coded_ms": round(coded - start, 2)}


def table(document):
    text = ["# File sizes", "",
            f"Written by `tools/bench_size.py`: nearest codes, first and last layers at 8 bits, {SAMPLES} calibration samples. File: bytes of the "
            "whole `.nw` file. Weights: bytes of what it holds of them, beside their entropy (of each layer's values by "
            "themselves; contexts can come out below it). Saved: by coding, of the packed file. At 4 bits both files of a "
            "network were run by `narrow verify`: the same hash.", "",
            "| network | weights | ONNX | file, packed | file, coded | saved | weights, packed | coded | entropy | bits a weight, coded |",
            "|---|---|---|---|---|---|---|---|---|---|"]
    for r in document["rows"]:
        per_weight = r["coded_weights"] / r["packed_weights"] * packed_bits(r, document)
        text.append("| %s | %d bits | %s | %s | %s | %.1f %% | %s | %s | %s | %.2f |" % (
            r["network"], r["weight_bits"], *(f"{r[k]:,}" for k in ("onnx_bytes", "packed_file", "coded_file")),
            100 * (1 - r["coded_file"] / r["packed_file"]), *(f"{r[k]:,}" for k in ("packed_weights", "coded_weights", "entropy")),
            per_weight))
    if document["load"]:
        text += ["", "Processor time to read and check a file: `narrow inspect`, less that of a network of 800 bytes; medians of "
                 f"{READS} interleaved runs on one core of {document['cpu']}.", "",
                 "| network | weights | packed, ms | coded, ms | weights decoded a second |", "|---|---|---|---|---|"]
        for r in document["load"]:
            row = next(x for x in document["rows"] if (x["network"], x["weight_bits"]) == (r["network"], r["weight_bits"]))
            n = row["packed_weights"] * 8 / packed_bits(row, document)
            text.append("| %s | %d bits | %.1f | %.1f | %.0f million |" % (
                r["network"], r["weight_bits"], r["packed_ms"], r["coded_ms"],
                n / max(r["coded_ms"] - r["packed_ms"], 1e-3) / 1e3))
    return "\n".join(text) + "\n"


def packed_bits(row, document):
    """Mean packed bits a weight: at 8 bits a byte holds one."""
    whole = next(x for x in document["rows"] if x["network"] == row["network"] and x["weight_bits"] == 8)
    return 8 * row["packed_weights"] / whole["packed_weights"]


def cpu_name():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--narrow", default=str(ROOT / "build" / "narrow"))
    parser.add_argument("--only", default="")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--load", nargs="*", metavar="NETWORK")
    parser.add_argument("--work", help="folder that keeps the files, which --load needs")
    options = parser.parse_args()
    path = RESULTS / "size.json"
    document = json.loads(path.read_text(encoding="utf-8")) if path.exists() and not options.fresh else {"rows": [], "load": []}
    networks = json.loads((TESTBED / "models.json").read_text(encoding="utf-8"))["models"]
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(options.work or scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for network in networks:
            known = {(r["network"], r["weight_bits"]) for r in document["rows"]}
            for bits in WIDTHS:
                if (network["name"], bits) not in known and re.search(options.only, network["name"]):
                    document["rows"].append(measure(options.narrow, network, bits, folder))
                    print(document["rows"][-1], flush=True)
                    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        if options.load is not None:
            document["cpu"] = cpu_name()
            document["load"] = [load(options.narrow, name, bits, folder) for name in options.load for bits in (8, 4)]
    order = {network["name"]: i for i, network in enumerate(networks)}
    document["rows"].sort(key=lambda r: (order[r["network"]], -r["weight_bits"]))
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (RESULTS / "size.md").write_text(table(document), encoding="utf-8")


if __name__ == "__main__":
    main()
