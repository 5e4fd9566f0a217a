#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Accuracy with activations of 3 to 6 bits, integer engine: docs/results/activations.md and activations.json.

    python3 tools/bench_activations.py --narrow build/narrow [--only REGEX] [--fresh]

Works as bench_accuracy.py, whose helpers it uses: known rows are kept unless --fresh is given.
"""
import argparse
import hashlib
import json
import math
import pathlib
import re
import statistics
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import activation_report  # noqa: E402
import bench_accuracy  # noqa: E402
import equal_bits  # noqa: E402
from bench_accuracy import CAMVID, JPEG, PNG, RESULTS, TESTBED, accuracy_of, labels_of, run  # noqa: E402

NETWORKS = ("resnet32-cifar10", "mobilenetv2-cifar10", "unet-camvid")
SEEDS = (1, 2, 3, 4, 5)
DQA = "--act-method dqa --learn 0"
PLANNED = "--target-acts {} --learn 0 --weight-storage packed"
METHODS = {
    "direct": ["--learn 0"],
    "NoisyQuant": ["--act-method noisy --learn 0"],
    "DQA": [DQA],
    "DQA, random channels": [f"{DQA} --act-ranking random --seed {seed}" for seed in SEEDS],
    "direct, equal coded bits": None,
    "direct, equal coded bits, planned": None,
    **{f"DQA, share {share}": [f"{DQA} --act-share {share}"] for share in (0.2, 0.6, 0.8, 1.0)},
    "learned": [""],
    "DQA, learned": ["--act-method dqa"],
    "planned": ["--target-acts {bits} --act-method dqa --learn 1200 --weight-storage packed"],
}
SHARES = [method for method in METHODS if method.startswith("DQA, share")]
EQUAL = {"direct, equal coded bits": False, "direct, equal coded bits, planned": True}  # whether planned


def rows():
    """Yields (network, activation bits, placement, method, data), the most telling first; weights have 8 bits."""
    png = {network: CAMVID if network == "unet-camvid" else PNG for network in NETWORKS}
    jpeg = dict.fromkeys(NETWORKS[:2], JPEG)

    def on(data, networks, placements, methods, widths):
        for network in networks:
            for placement in placements:
                for method in methods:
                    for bits in widths:
                        yield network, bits, placement, method, data[network]

    cifar, unet, everywhere = NETWORKS[:2], NETWORKS[2:], ("all", "blocks")
    plain = ("direct", "NoisyQuant", "DQA")
    compared = plain + tuple(EQUAL) + ("DQA, random channels",)
    yield from on(png, cifar, ("all",), ("direct",), (6,))
    yield from on(png, cifar, ("all",), compared, (3, 4, 5))
    yield from on(jpeg, cifar, ("all",), ("direct",), (6,))
    yield from on(jpeg, cifar, ("all",), compared[:-1], (3, 4, 5))
    yield from on(png, unet, ("all",), plain, (3,))
    yield from on(png, unet, ("all",), ("direct",), (4,))
    yield from on(png, cifar, everywhere, ("learned", "DQA, learned"), (3, 4))
    yield from on(png, unet, ("all",), ("learned", "DQA, learned"), (3,))
    yield from on(png, cifar, ("blocks",), plain, (3, 4, 5))
    yield from on(png, cifar, ("blocks",), ("direct",), (6,))
    yield from on(png, unet, ("all",), compared, (3, 4, 5))
    yield from on(png, unet, ("all",), ("direct",), (6,))
    yield from on(png, cifar, ("all",), ("planned",), (4, 3.5, 3))
    yield from on(jpeg, cifar, everywhere, ("learned", "direct"), (4, 3))
    yield from on(jpeg, cifar, ("all",), ("DQA, random channels", "DQA, learned"), (3, 4))
    yield from on(png, cifar, ("all",), SHARES, (3,))
    yield from on(png, NETWORKS, ("all",), ("learned", "DQA, learned"), (4, 5))
    yield from on(png, unet, ("blocks",), plain, (3, 4, 5))


def title_of(row):
    network, acts, placement, method, data = row
    return f"{network} W8A{acts} {placement} {method}, {data[1]}"


def data_of(data):
    return f"--data $NARROW_TESTBED/data/{data}{labels_of(data)}"


class Maker:
    """Makes networks of one kind, keeps them, and tells their coded bits; its files lie in `work`."""

    def __init__(self, narrow, network, calib, work, threads):
        self.narrow, self.network, self.calib, self.work = narrow, network, calib, work
        self.onnx = f"$NARROW_TESTBED/models/{network}.onnx"
        self.there = f" --json --threads {threads}"
        self.coded = {}

    def command(self, flags):
        preprocess = bench_accuracy.NETWORKS[self.network][0]
        return f"quantize {self.onnx} OUT.nw --calib $NARROW_TESTBED/data/{self.calib} {preprocess} {flags}".strip()

    def make(self, flags):
        """Returns the file's path; made once. What was measured for a plan is kept, which changes no bit of it."""
        command = self.command(flags)
        out = pathlib.Path(self.work) / (hashlib.sha256(command.encode()).hexdigest()[:16] + ".nw")
        if not out.is_file():
            new = out.with_suffix(".new")
            kept = f"{self.network}-{self.calib}".replace("/", "-") + ("-dqa" if "dqa" in flags else "")
            state = f" --state {self.work}/{kept}.json" if "--target" in flags else ""
            run(self.narrow, command.replace("OUT.nw", str(new)) + state + self.there)
            new.rename(out)
        return out

    def evaluate(self, flags, data, more):
        return run(self.narrow, f"eval {self.make(flags)} {data_of(data)} {more}" + self.there)

    def stored_bits(self, flags, data, storage):
        """Mean bits of a stored value, on at most 32 samples."""
        limit = f"--limit 32 --activation-storage {storage}"
        return self.evaluate(flags, data, limit)["stored_bits_per_value"]

    def coded_bits(self, flags):
        """The same on calibration samples, coded."""
        if flags not in self.coded:
            self.coded[flags] = self.stored_bits(flags, self.calib, "coded")
        return self.coded[flags]

    def equal_bits(self, bits, planned):
        """Flags of direct rounding that takes as many coded bits as DQA with `bits` (equal_bits.py)."""
        wanted = self.coded_bits(f"--acts {bits} --act-placement all {DQA}")
        if planned:
            first = [(b, self.coded_bits(PLANNED.format(b))) for b in (bits + 1, bits + 1.5)]
            return PLANNED.format(equal_bits.nearest(lambda b: self.coded_bits(PLANNED.format(b)), wanted, first)[0])
        low = bits
        while self.coded_bits(equal_bits.mixture_flags(low + 1, [])) < wanted:
            low += 1
        ends = [equal_bits.mixture_flags(low, []), equal_bits.mixture_flags(low + 1, [])]
        tensors = self.narrow_tensors(ends[0])
        def mixture(share):
            return equal_bits.mixture_flags(low, equal_bits.spread(tensors, share))
        points = [(share, self.coded_bits(end)) for share, end in enumerate(ends)]
        return mixture(equal_bits.nearest(lambda share: self.coded_bits(mixture(share)), wanted, points)[0])

    def narrow_tensors(self, flags):
        """(name, values) of the tensors below 8 bits, in the network's order."""
        nodes = run(self.narrow, f"inspect {self.make(flags)} --json")["nodes"]
        return [(n["output"], math.prod(int(d) for d in n["shape"].split("x")))
                for n in nodes if n["activation_bits"] < 8]


def flags_of(maker, row):
    """The flags of every network that the row is a mean of."""
    _, bits, placement, method, _ = row
    if method in EQUAL:
        return [maker.equal_bits(bits, EQUAL[method])]
    everywhere = "" if method == "planned" else f"--acts {bits} --act-placement {placement} "
    return [(everywhere + flags.format(bits=bits)).strip() for flags in METHODS[method]]


# A result with a note is of an earlier form of the method: shown with it, compared with nothing, measured again.
def measure(maker, row):
    network, acts, placement, method, (_, data) = row
    result = {"title": title_of(row), "network": network, "activation_bits": acts, "placement": placement,
              "method": method, "data": data, "commands": []}
    scores, stored = [], []
    for flags in flags_of(maker, row):
        against = f"--against {maker.onnx}"
        scores.append(maker.evaluate(flags, data, against))
        stored.append([maker.stored_bits(flags, data, storage) for storage in ("packed", "coded")])
        result["commands"].append(f"narrow {maker.command(flags)} && narrow eval OUT.nw {data_of(data)} {against}")
    score, accuracies = scores[0], [accuracy_of(s)[0] for s in scores]
    return result | {
        "accuracies": accuracies, "accuracy": statistics.mean(accuracies), "unit": accuracy_of(score)[1],
        "samples": score["samples"], "float": accuracy_of(score["against"])[0],
        "standard_error": score.get("top1_standard_error"),
        "agreement": statistics.mean(s["agreement"] for s in scores),
        "sqnr_db": statistics.mean(s["sqnr_db"] for s in scores),
        "bits_per_value": statistics.mean(s[0] for s in stored),
        "coded_bits_per_value": statistics.mean(s[1] for s in stored)}


def write(results):
    titles = {title_of(row) for row in rows()}
    results = activation_report.ordered([r for r in results if r["title"] in titles], list(METHODS))
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "activations.json").write_text(json.dumps(results, indent=1) + "\n")
    simulated = RESULTS / "dqa-paper.json"  # bench_dqa_paper.py
    (RESULTS / "activations.md").write_text(activation_report.page(
        results, json.loads(simulated.read_text()) if simulated.is_file() else []))


def known():
    """The rows of activations.json."""
    rows = RESULTS / "activations.json"
    return json.loads(rows.read_text()) if rows.is_file() else []


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--narrow", default="build/narrow")
    parser.add_argument("--only", default="", help="rows whose title matches")
    parser.add_argument("--fresh", action="store_true", help="measure rows again that activations.json already has")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", default="", help="folder for the networks, kept; default: a temporary one")
    arguments = parser.parse_args()
    if not TESTBED.is_dir():
        print(f"SKIP: no test-bed at {TESTBED}; set NARROW_TESTBED", file=sys.stderr)
        return 0
    results = known()
    write(results)
    makers = {}
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or temporary
        pathlib.Path(work).mkdir(parents=True, exist_ok=True)
        for row in dict.fromkeys(rows()):
            title = title_of(row)
            old = any(r["title"] == title and not r.get("note") for r in results)
            if not re.search(arguments.only, title) or (old and not arguments.fresh):
                continue
            network, calib = row[0], row[4][0]
            maker = makers.setdefault((network, calib),
                                      Maker(arguments.narrow, network, calib, work, arguments.threads))
            new = measure(maker, row)
            results = [r for r in results if r["title"] != title] + [new]
            write(results)
            print(f"{title}: {100 * new['accuracy']:.2f} (float {100 * new['float']:.2f})", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
