#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What 16-bit sums buy and cost: docs/results/sums.md and sums.json.

    python3 bench/sums.py --narrow build/narrow [--random FOLDER] [--only REGEX] [--stages LIST] [--prefix "taskset -c 1"]

Stages, each a part of a network's row: `alphas` (the range factors of --acc 16), `accuracy` (float, exact 8 x 8 bits with
32-bit sums, --acc 16 and fixed 6 x 6 bits, by the integer engine, on pictures that calibration never saw) and `speed`
(NARROW_ISA=avx2, one thread, taking turns: --acc 16 against itself with every sum in 32 bits, same bytes, checked; against
exact 8 x 8 bits as quantized by default; and against these with 32-bit sums: all with --direct, for it is the sums of
windows' products that are compared; and both networks with Winograd's convolution besides). `detector` runs
tests/models/detect.py on a face detector (NARROW_PYTHON with onnxruntime). FOLDER holds *-random.onnx of
the test bed's make_random_models.py. Parts already in sums.json are kept unless --only names their network.
"""
import argparse
import json
import os
import pathlib
import re
import shlex
import struct
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"
TESTBED = pathlib.Path(os.environ.get("NARROW_TESTBED", ROOT / ".." / "shared" / "testbed"))
CIFAR = "--mean 123.675,116.28,103.53 --std 58.395,57.12,57.375"
IMAGENET = "--resize shorter_side:256 --crop center --mean 127.5 --std 127.5 --class-offset 1"
RANDOM = "--resize shorter_side:256 --crop center --mean 123.675,116.28,103.53 --std 58.395,57.12,57.375 --channel-order RGB"
CIFAR_TESTS = ["cifar10-png/test", "cifar10/test"]
REAL = {
    "resnet8-cifar10": ("--mean 0 --std 1", "cifar10/calib", CIFAR_TESTS),
    "resnet20-cifar10": (CIFAR, "cifar10/calib", CIFAR_TESTS),
    "resnet32-cifar10": (CIFAR, "cifar10/calib", CIFAR_TESTS),
    "resnet56-cifar10": (CIFAR, "cifar10/calib", CIFAR_TESTS),
    "mobilenetv2-cifar10": ("--mean 125.307,122.961,113.8575 --std 62.985,62.0925,66.708", "cifar10/calib", CIFAR_TESTS),
    "mobilenetv1-0.25-imagenet": (IMAGENET, "imagenet/calib.csv", ["imagenet/test.csv"]),
    "mobilenetv2-imagenet": (IMAGENET, "imagenet/calib.csv", ["imagenet/test.csv"]),
}
QUICK = "16 --bias-correction analytic --weight-method plain"  # calibration samples of networks that are only timed, and options
RANDOM_NAMES = ["resnet50-random", "vgg16-random"]
FORMS = {"16": "--acc 16", "8x8": "", "8x8-32": "--acc 32", "6x6": "--weights 6 --acts 6 --first-last 6",
         "7x7": "--weights 7 --acts 7 --first-last 7", "16-wrap": "--acc 16-wrap"}
STAGES = ("alphas", "accuracy", "speed", "detector")
DETECTOR = "face-rfb320"
WINOGRAD = ", Winograd"
REPETITIONS = 5  # of a timing; of every node the quietest counts


def run(narrow, arguments, prefix="", isa=""):
    words = shlex.split(prefix) + [narrow] + shlex.split(arguments)
    environment = {**os.environ, "GOMP_SPINCOUNT": "0", **({"NARROW_ISA": isa} if isa else {})}
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"narrow {arguments}: {done.stderr.strip()}")
    return json.loads(done.stdout)


class Network:
    """A network of the tables; its forms are quantized into `work` when they are first asked for."""

    def __init__(self, name, arguments, work):
        self.name, self.narrow, self.work, self.real = name, arguments.narrow, work, name in REAL
        flags, calib, self.tests = REAL[name] if self.real else (RANDOM, "imagenet/calib.csv", [])
        self.onnx = TESTBED / "models" / f"{name}.onnx" if self.real else pathlib.Path(arguments.random) / f"{name}.onnx"
        self.flags = flags
        self.calib = f"--calib {TESTBED}/data/{calib} --samples " + ("500" if self.real else QUICK)

    def form(self, form):
        path = f"{self.work}/{self.name}-{form}.nw"
        if not os.path.exists(path):
            run(self.narrow, f"quantize {self.onnx} {path}.part.nw {self.calib} {self.flags} {FORMS[form]} --json --threads 1")
            os.rename(f"{path}.part.nw", path)
        return path


def alphas(network):
    """Of every layer planned for 16 bits what its reasons say, from the plan that the network stores."""
    layers = json.loads(subprocess.run([network.narrow, "inspect", network.form("16"), "--plan"], check=True,
                                       capture_output=True, text=True).stdout)["layers"]
    return {"layers": len(layers),
            "planned": [{"node": row["node"], **row["why"]} for row in layers if row.get("accumulator") == "16"]}


def accuracy(network):
    """Rows per data set; every network beside the float one, on the same pictures."""
    rows = []
    for data in network.tests:
        row = {"data": data}
        for form in ("16", "8x8-32", "6x6"):
            told = run(network.narrow, f"eval {network.form(form)} --data {TESTBED}/data/{data} --against {network.onnx} "
                                       f"{network.flags} --json --threads 1")
            row[form] = told["top1"]
            row[f"{form}_agreement"] = told["agreement"]
            row.update({"samples": told["samples"], "float": told["against"]["top1"],
                        "standard_error": told["against"]["top1_standard_error"]})
        told = run(network.narrow, f"eval {network.form('16')} --data {TESTBED}/data/{data} --against {network.form('8x8-32')} "
                                   f"{network.flags} --json --threads 1")
        row["16_agreement_8x8"] = told["agreement"]
        rows.append(row)
    return {"data": rows}


def with_32_bit_sums(path):
    """The same network, every accumulator 32, in a file beside it: only the graph's words differ."""
    with open(path, "rb") as file:
        data = file.read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    graph = json.loads(header["__metadata__"]["narrow.graph"])
    for i, node in enumerate(graph["nodes"]):
        if f"n{i}.weights" in header:
            node["accumulator"] = "32"
    header["__metadata__"]["narrow.graph"] = json.dumps(graph)
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % 64)
    with open(f"{path}.32.nw", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data[8 + size:])
    return f"{path}.32.nw"


def node_times(network, files, prefix, runs):
    """Milliseconds of every node of every network: the lowest of the medians of REPETITIONS benches that take turns."""
    least = {form: {} for form in files}
    for form, path in list(files.items()) * REPETITIONS:
        how = "" if form.endswith(WINOGRAD) else "--direct"
        told = run(network.narrow, f"bench {path} {how} --runs {runs} --threads 1 --json", prefix, "avx2")
        for i, node in enumerate(told["nodes"]):
            key = i, node["node"]
            least[form][key] = min(node["milliseconds"], least[form].get(key, node["milliseconds"]))
    return least


def speed(network, prefix, runs):
    """Times of the rivals over that of --acc 16, and where the time goes."""
    files = {form: network.form(form) for form in ("16", "8x8", "8x8-32")}
    files["sums32"] = with_32_bit_sums(files["16"])
    files.update({form + WINOGRAD: files[form] for form in ("16", "8x8")})
    run(network.narrow, f"bench {files['16']} --sums32 --runs 1 --threads 1 --json", prefix, "avx2")  # fails unless same bytes
    times = node_times(network, files, prefix, runs)
    milliseconds = {form: sum(nodes.values()) for form, nodes in times.items()}
    plan = json.loads(subprocess.run([network.narrow, "inspect", files["16"], "--plan"], check=True, capture_output=True,
                                     text=True).stdout)
    accumulators = {row["node"]: row["accumulator"] for row in plan["layers"]}
    parts = {}
    for form in ("16", "8x8"):
        for (_, name), time in times[form].items():
            accumulator = accumulators.get(name, "")
            kind = parts.setdefault("planned" if accumulator == "16" else "linear" if accumulator else "rest",
                                    {"16": 0.0, "8x8": 0.0})
            kind[form] = round(kind[form] + time, 5)
    return {"speed": {**{form: round(milliseconds[form] / milliseconds["16"], 3) for form in files if form != "16"},
                      "isa": "avx2", "parts": parts}}


def detector(arguments):
    """Boxes of the face detector beside those of the float network, for each form."""
    row = {"network": DETECTOR}
    dump = pathlib.Path(arguments.narrow).parent / "tests" / "models" / "picture_dump"
    for form in ("8x8-32", "16", "16-wrap", "6x6"):
        done = subprocess.run([os.environ.get("NARROW_PYTHON", sys.executable), str(ROOT / "tests" / "models" / "detect.py"),
                               f"--quantize={FORMS[form]}", arguments.narrow, str(dump), DETECTOR], check=False,
                              capture_output=True, text=True, env={**os.environ, "NARROW_TESTBED": str(TESTBED)})
        words = done.stdout.split()
        if done.returncode == 77 or DETECTOR not in words:
            print(f"SKIP: {done.stdout.strip() or done.stderr.strip()}", file=sys.stderr)
            return {}
        at = words.index(DETECTOR) + 1
        row[form] = {key: float(value) for key, value in zip(words[at::2], words[at + 1::2]) if key.islower()}
    return {"detector": row}


def histogram(planned):
    """OAQ's alpha is that of weights and of codes alike: the root of the product."""
    edges = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 99.0]
    roots = [why["alpha"] ** 0.5 for why in planned]
    return [sum(lo <= a < hi for a in roots) for lo, hi in zip(edges, edges[1:])]


def median(values):
    return sorted(values)[len(values) // 2] if values else 0


def write(rows):
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "sums.json").write_text(json.dumps(rows, indent=1) + "\n")
    lines = ["# 16-bit sums", "", "Written by `bench/sums.py`. Speed: one thread; sums over nodes of their times, of each the lowest of five"
             " medians, networks taking turns; times of the others over that of `--acc 16`, all with `--direct`: sums of windows'"
             " products are compared. With 32-bit sums the same network gives the same bytes (checked). The last two columns: the"
             " same networks as they run by default, with Winograd's convolution in 3 x 3 layers of stride 1. There exact 8 x 8"
             " bits need a quarter of the products, and `--acc 16` narrows weights for nothing: it is for networks whose time"
             " goes into other layers.",
             "", "| network | kernels | layers planned | same, 32-bit sums | exact 8 x 8 | exact 8 x 8, 32-bit sums"
             " | exact 8 x 8, Winograd | `--acc 16`, Winograd |", "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        s = row.get("speed")
        if s and "planned" in row:
            lines.append(f"| {row['network']} | {s['isa']} | {len(row['planned'])} of {row['layers']} | {s['sums32']:.2f} |"
                         f" {s['8x8']:.2f} | {s['8x8-32']:.2f} |"
                         + "".join(f" {s[form + WINOGRAD]:.2f} |" if form + WINOGRAD in s else " - |" for form in ("8x8", "16")))
    lines += ["", "Where that time goes: share of exact 8 x 8's time (default), and its time over that of `--acc 16`, for layers planned for"
              " 16-bit sums, other linear layers (the first, depthwise ones, and those that gain less than 5 %) and the rest.", "",
              "| network | planned: share | ratio | other linear: share | ratio | rest: share | ratio |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        p = row.get("speed", {}).get("parts")
        if p:
            whole = sum(kind["8x8"] for kind in p.values())
            lines.append(f"| {row['network']} |" + "|".join(
                f" {100 * p[k]['8x8'] / whole:.0f} % | {p[k]['8x8'] / p[k]['16']:.2f} " if p.get(k, {}).get("16") else " 0 % | "
                for k in ("planned", "linear", "rest")) + "|")
    lines += ["", "Limit: with `vpmaddubsw` a step in 16 bits takes two instructions for the products of 32 lanes, in 32 bits three, so 1.5"
              " over 32-bit sums is the most. The default already finds pairs that fit and short runs at 8 x 8 bits (`narrow report`,"
              " by multiply-accumulates). With real weights 42 to 46 % of the steps of four bytes hold a pair that may not fit as they lie"
              " (resnet20, resnet56, mobilenetv2-imagenet), 89 to 100 % go into units of other pairs, and runs have 1.4 to 1.5 steps;"
              " with resnet50-random's normal weights, small beside the largest of their row, 21 %, 59 % and 2.4 steps. There the"
              " default has won more of the time already, and less is left: `--acc 16` itself stands at the limit over 32-bit"
              " sums. MobileNets spend much of their time in depthwise layers and the first one, which are the same in both, and"
              " their sums of 8 to 96 products are short beside what it takes to write an output. Networks with random weights are"
              " rounded to the nearest, for speed only."]
    lines += ["", "Accuracy, top-1 in percent, measured with the integer engine on pictures that calibration never saw; the standard"
              " error is that of the float network's answers. 8 x 8: exact, 32-bit sums. 6 x 6: all layers, learned rounding, inputs of"
              " 8 bits. The first layer and depthwise ones keep their exact 8 x 8 form under `--acc 16`; `--acc-first` takes the"
              " first one in. \"Same answer\": share of the pictures to which both networks give the same class; beside 8 x 8 the other"
              " one is that with exact 32-bit sums.", "",
              "| network | data | images | float | standard error | --acc 16 | 8 x 8 | 6 x 6 | --acc 16 less float |"
              " --acc 16 less 8 x 8 | same answer as float: --acc 16 | 8 x 8 | 6 x 6 | same answer as 8 x 8: --acc 16 |",
              "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        for d in row.get("data", []):
            lines.append(f"| {row['network']} | {d['data']} | {d['samples']} | {100 * d['float']:.2f} |"
                         f" {100 * d['standard_error']:.2f} | {100 * d['16']:.2f} | {100 * d['8x8-32']:.2f} |"
                         f" {100 * d['6x6']:.2f} | {100 * (d['16'] - d['float']):+.2f} | {100 * (d['16'] - d['8x8-32']):+.2f} |"
                         f" {100 * d['16_agreement']:.2f} % | {100 * d['8x8-32_agreement']:.2f} % |"
                         f" {100 * d['6x6_agreement']:.2f} % | {100 * d.get('16_agreement_8x8', float('nan')):.2f} % |")
    lines += ["", "Range factors: alpha of a layer is the root of how far the product of weights and codes was narrowed (8 x 8 bits:"
              " 1, 7 x 7: 2, 6 x 6: 4). Layers by alpha, and how far weights and codes were narrowed each:", "",
              "| network | layers | 1 to 1.5 | to 2 | to 2.5 | to 3 | to 4 | above | weights, median | codes, median | steps in a run,"
              " predicted |", "|---|---|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        planned = row.get("planned", [])
        if planned:
            runs = sorted(why["run"] for why in planned)
            lines.append(f"| {row['network']} | {len(planned)} of {row['layers']} | " + " | ".join(map(str, histogram(planned))) +
                         f" | {median([why['weight_alpha'] for why in planned]):.2f} |"
                         f" {median([why['activation_alpha'] for why in planned]):.2f} |"
                         f" {runs[0]:.0f} to {runs[-1]:.0f}, median {median(runs):.0f} |")
    for row in rows:
        if "detector" in row:
            lines += ["", f"Detection: {row['network']} as in [detectors.md](detectors.md), the float network's boxes beside those of the"
                      " integer one; no labels, so this is agreement.", "",
                      "| form | boxes | of float's | kept | true | scores differ by |", "|---|---|---|---|---|---|"]
            lines += [f"| {FORMS[form]} | {d['boxes']:.0f} | {d['boxes_float']:.0f} | {100 * d['kept']:.1f} % | {100 * d['true']:.1f} % |"
                      f" {d['score']:.4f} |" for form, d in row["detector"].items() if form in FORMS]
    (RESULTS / "sums.md").write_text("\n".join(lines) + "\n")


def add_arguments(parser):
    parser.add_argument("--narrow", default="build/narrow")
    parser.add_argument("--random", default="", help="folder of *-random.onnx")
    parser.add_argument("--only", default="", help="networks whose name matches")
    parser.add_argument("--work", default="", help="folder for the quantized networks, kept; default: a temporary one")


def names_of(stage, arguments):
    if stage == "detector":
        return [DETECTOR]
    return list(REAL) + (RANDOM_NAMES if arguments.random and stage != "accuracy" else [])


def measure(name, stage, arguments, work):
    if stage == "detector":
        return detector(arguments)
    network = Network(name, arguments, work)
    if stage == "speed":
        return speed(network, arguments.prefix, arguments.runs)
    return {"alphas": alphas, "accuracy": accuracy}[stage](network)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--stages", default=",".join(STAGES))
    parser.add_argument("--prefix", default="", help="put before `narrow bench`")
    parser.add_argument("--runs", type=int, default=31)
    arguments = parser.parse_args()
    if not TESTBED.is_dir():
        print(f"SKIP: no test-bed at {TESTBED}; set NARROW_TESTBED", file=sys.stderr)
        return 0
    known = RESULTS / "sums.json"
    rows = {r["network"]: r for r in (json.loads(known.read_text()) if known.is_file() else [])}
    part = {"alphas": "planned", "accuracy": "data", "speed": "speed", "detector": "detector"}
    with tempfile.TemporaryDirectory() as temporary:
        for stage in arguments.stages.split(","):
            for name in names_of(stage, arguments):
                if not re.search(arguments.only, name) or (not arguments.only and part[stage] in rows.get(name, {})):
                    continue
                rows.setdefault(name, {"network": name}).update(measure(name, stage, arguments, arguments.work or temporary))
                write([rows[n] for n in list(REAL) + RANDOM_NAMES + [DETECTOR] if n in rows])
                print(name, stage, rows[name].get("speed", ""), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
