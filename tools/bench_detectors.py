#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Multipoint weights of detectors beside the float network: docs/results/detectors-weights.md and .json.

    python3 tools/bench_detectors.py --narrow build/narrow --dump build/tests/models/picture_dump [--only REGEX]

No labelled detection data is in the test-bed, so the float network's boxes stand for the truth: what is measured is the
error of the outputs and which boxes stay, by the decoders of tests/models/detect.py. Rows already in the .json are kept
unless --only names them ("yolox-nano-coco W4 multipoint 10 %"). Needs onnxruntime.
"""
import argparse
import json
import pathlib
import re
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"
sys.path.insert(0, str(ROOT / "tests" / "models"))
import detect  # noqa: E402
from bench_accuracy import METHODS  # noqa: E402

# Every fifth picture, of classes that calibration did not see; faces: those that calibration did not see.
SCENES = dict(data=["imagenet/test"], pictures=slice(0, None, 5))
NETWORKS = {"fastestdet-coco": SCENES, "yolox-nano-coco": SCENES, "face-rfb320": {}}
ARMS = ("plain + bias correction", "random points 10 %", "multipoint 10 %", "refine", "multipoint 10 % + refine")
WIDTHS = (4, 3)
HEAD = """# Narrow weights of detectors

Written by `tools/bench_detectors.py`; integer engine, activations of 8 bits, first and last layers' weights too, pictures that
calibration never saw. No labels: outputs and boxes are compared with the float network's ([detectors](detectors.md) says
how), which is agreement, not accuracy. *SQNR*: energy of the float network's outputs over that of the difference.
*kept*: share of its boxes that are found; *true*: share of the boxes found that are its own; *F1*: their harmonic mean.
*Extra MACs*: spent on further points; random points spend as many as multipoint.
"""


def title_of(network, bits, method):
    return f"{network} W{bits} {method}"


def sqnr(reals, integers):
    signal = noise = 0.0
    for real, integer in zip(reals, integers):
        for a, b in zip(real, integer):
            signal += float(np.sum(np.square(a, dtype=np.float64)))
            noise += float(np.sum(np.square(a.astype(np.float64) - b)))
    return 10.0 * float(np.log10(signal / noise))


def measure(programs, name, bits, method):
    network = {**detect.NETWORKS[name], **NETWORKS[name]}
    flags = ["--weights", str(bits), "--threads", "1"] + METHODS[method].split()
    with tempfile.TemporaryDirectory() as folder:
        pictures, reals, integers, made = detect.run_both(programs, network, 100, flags, folder)
    return {"title": title_of(name, bits, method), "network": name, "weight_bits": bits, "method": method,
            "calibration": network["calib"], "calibration_samples": made["calibration_samples"], "pictures": len(pictures),
            "sqnr_db": sqnr(reals, integers), **detect.compare_boxes(network, reals, integers), "macs": made["macs"],
            "weight_bytes": made["weight_bytes"]}


def f1(row):
    both = row["kept"] + row["true"]
    return 2.0 * row["kept"] * row["true"] / both if both else 0.0


def claim(rows):
    """C7: does the gain over plain grow as bits fall?"""
    by = {(r["network"], r["weight_bits"], r["method"]): r for r in rows}
    lines = []
    for one, other in ((ARMS[2], ARMS[0]), (ARMS[2], ARMS[1]), (ARMS[4], ARMS[3])):
        gains = []
        for name in NETWORKS:
            for bits in WIDTHS:
                a, b = by.get((name, bits, one)), by.get((name, bits, other))
                if a and b:
                    gains.append(f"{name} W{bits} {a['sqnr_db'] - b['sqnr_db']:+.1f} dB, F1 {100 * (f1(a) - f1(b)):+.1f}")
        if gains:
            lines.append(f"- *{one}* over *{other}*: {'; '.join(gains)}.")
    return lines


def commands(rows):
    flags = {r["network"]: detect.NETWORKS[r["network"]]["flags"] for r in rows}
    return ["", "## Commands", "", "Networks are made by `narrow quantize MODEL OUT --calib PICTURES --weights BITS` with"] + [
        f"- {name}: `{text}`" for name, text in flags.items()] + ["", "and", ""] + [
        f"- {method}: `{METHODS[method]}`" for method in ARMS]


def page(rows):
    lines = [HEAD, "## What further points gain (claim C7 of Liu et al. 2021)", "",
             "Of SQNR, and of F1 in points. The paper: +0.41 mAP at 4 bits, +1.09 at 3 (SSD, PASCAL VOC).", ""] + claim(rows)
    for name in NETWORKS:
        mine = [r for r in rows if r["network"] == name]
        if not mine:
            continue
        base = min(r["macs"] for r in mine)
        lines += ["", f"## {name}", "", f"{mine[0]['pictures']} pictures, {mine[0]['boxes_float']} boxes of the float network;"
                  f" calibrated on {mine[0]['calibration_samples']} of `{mine[0]['calibration']}`.", "",
                  "| weights | method | SQNR, dB | boxes | kept | true | F1 | weight bytes | extra MACs |", "|" + "---|" * 9]
        lines += [f"| {r['weight_bits']} bits | {r['method']} | {r['sqnr_db']:.1f} | {r['boxes']} | {100 * r['kept']:.1f} % |"
                  f" {100 * r['true']:.1f} % | {100 * f1(r):.1f} % | {r['weight_bytes']} |"
                  f" {100 * (r['macs'] / base - 1):.1f} % |" for r in mine]
    return "\n".join(lines + commands(rows)) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--narrow", default="build/narrow")
    parser.add_argument("--dump", default="build/tests/models/picture_dump")
    parser.add_argument("--only", default="", help="rows whose title matches, measured again")
    arguments = parser.parse_args()
    store = RESULTS / "detectors-weights.json"
    rows = json.loads(store.read_text()) if store.is_file() else []
    order = [title_of(name, bits, method) for name in NETWORKS for bits in WIDTHS for method in ARMS]
    for name in NETWORKS:
        for bits in WIDTHS:
            for method in ARMS:
                title = title_of(name, bits, method)
                if (not re.search(arguments.only, title) or
                        (not arguments.only and any(r["title"] == title for r in rows))):
                    continue
                new = measure((arguments.narrow, arguments.dump), name, bits, method)
                rows = sorted([r for r in rows if r["title"] != title] + [new], key=lambda r: order.index(r["title"]))
                store.write_text(json.dumps(rows, indent=1) + "\n")
                (RESULTS / "detectors-weights.md").write_text(page(rows))
                print(f"{title}: {new['sqnr_db']:.1f} dB, kept {new['kept']:.3f}, true {new['true']:.3f}", flush=True)
    (RESULTS / "detectors-weights.md").write_text(page(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
