#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How often sums of real layers leave 16 bits on real data: docs/results/overflow.md and overflow.json.

    python3 bench/overflow.py --narrow build/narrow [--only REGEX] [--limit N]

Every network of sums.py at fixed 8, 7 and 6 bits for weights and activations (inputs keep 8), and by --acc 16 and
--acc 16-wrap, counted by `narrow eval --count-overflows` on test pictures that calibration never saw; 16-wrap also against
the same numbers summed in 32 bits. Parts already in overflow.json are kept unless --only names their network.
"""
import argparse
import json
import re
import sys
import tempfile

import sums

FIXED = {"8x8": "8", "7x7": "7", "6x6": "6"}
KEPT = ["node", "accumulator", "k", "sums", "sums_outside", "centred_outside", "partial_sums_outside"]
COUNTED = list(FIXED) + ["16", "16-wrap"]
LIMITS = {"cifar10-png/test": 0, "imagenet/test.csv": 100}  # samples; 0: all


def share(count, part, whole):
    return count[part] / count[whole] if count[whole] else 0.0


def count(network, form, limit):
    """Counts of one form on the first data set of the network, and what its answers are worth."""
    data = f"{sums.TESTBED}/data/{network.tests[0]}"
    path = network.form(form)
    rival = sums.with_32_bit_sums(path) if form == "16-wrap" else network.onnx
    told = sums.run(network.narrow, f"eval {path} --data {data} --count-overflows --limit {limit} --against {rival} "
                                    f"{network.flags} --json --threads 1")
    row = {"samples": told["samples"], "top1": told["top1"], "against": told["against"]["top1"],
           "agreement": told["agreement"], **told["overflows"]}
    row["layers"] = [{key: layer[key] for key in KEPT} for layer in row["layers"]]
    return row


def percent(x):
    return "0" if x == 0 else f"{100 * x:.2g} %" if x < 0.01 else f"{100 * x:.1f} %"


def of_layers(row, part, whole):
    """Least, median and largest share of the layers but the first."""
    shares = sorted(share(layer, part, whole) for layer in row["layers"][1:])
    return f"{percent(shares[0])}, {percent(shares[len(shares) // 2])}, {percent(shares[-1])}"


def fixed_lines(rows):
    lines = ["| network | samples | bits | sums outside | of the first layer | of the others: least, median, largest | layers"
             " with any | all, zero point taken off | partial sums outside | proven runs outside |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        for form, bits in FIXED.items():
            c = row.get(form)
            if c:
                lines.append(f"| {row['network']} | {c['samples']} | {bits} x {bits} | {percent(share(c, 'sums_outside', 'sums'))} |"
                             f" {percent(share(c['layers'][0], 'sums_outside', 'sums'))} |"
                             f" {of_layers(c, 'sums_outside', 'sums')} |"
                             f" {sum(layer['sums_outside'] > 0 for layer in c['layers'])} of {len(c['layers'])} |"
                             f" {percent(share(c, 'centred_outside', 'sums'))} |"
                             f" {percent(share(c, 'partial_sums_outside', 'partial_sums'))} |"
                             f" {c['runs_outside']} of {c['runs']} |")
    return lines


def wrap_lines(rows):
    lines = ["| network | samples | layers that wrap | their sums outside | layer with most | answers as with 32-bit sums | top-1 |"
             " with 32-bit sums |", "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        c = row.get("16-wrap")
        if c:
            layers = [layer for layer in c["layers"] if layer["accumulator"] == "16-wrap"]
            outside = sum(layer["sums_outside"] for layer in layers)
            total = sum(layer["sums"] for layer in layers)
            most = max([share(layer, "sums_outside", "sums") for layer in layers] or [0.0])
            lines.append(f"| {row['network']} | {c['samples']} | {len(layers)} of {len(c['layers'])} |"
                         f" {outside} of {total}: {percent(outside / total if total else 0.0)} | {percent(most)} |"
                         f" {100 * c['agreement']:.2f} % | {100 * c['top1']:.2f} | {100 * c['against']:.2f} |")
    return lines


def write(rows):
    (sums.RESULTS / "overflow.json").write_text(json.dumps(rows, indent=1) + "\n")
    lines = ["# Sums that leave 16 bits", "",
             "Written by `bench/overflow.py`, counted by `narrow eval --count-overflows` on test pictures that calibration never saw:"
             " what one 16-bit number for every sum would have held. Sums are over W x with codes x from 0 on, as kernels form"
             " them; \"zero point taken off\": over W (x - z), as papers write them. Partial sums: after every product, in the order"
             " of k.", "", "## Fixed widths", "",
             "All weights and activations of so many bits, nothing narrowed for the sums' sake. Inputs keep 8 bits, and their zero"
             " point lies in the middle: the first layer, which `--acc` leaves alone, stands apart. Proven runs: the parts of these"
             " sums that Narrow does form in 16 bits, at the same time, in the same networks.", ""]
    lines += fixed_lines(rows)
    lines += ["", "## 16-wrap", "", "`--acc 16-wrap`: ranges chosen so that sums fit 16 bits on calibration data, not proven; what does"
              " not fit wraps. Beside it the same network with 32-bit sums.", ""]
    lines += wrap_lines(rows)
    lines += ["", "## Planned for 16 bits", "", "`--acc 16`: what is folded in time never overflows; one 16-bit number a sum would.", "",
              "| network | sums outside | proven runs outside |", "|---|---|---|"]
    for row in rows:
        if "16" in row:
            c = row["16"]
            lines.append(f"| {row['network']} | {percent(share(c, 'sums_outside', 'sums'))} | {c['runs_outside']} of {c['runs']} |")
    (sums.RESULTS / "overflow.md").write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sums.add_arguments(parser)
    parser.add_argument("--forms", default=",".join(COUNTED))
    arguments = parser.parse_args()
    if not sums.TESTBED.is_dir():
        print(f"SKIP: no test-bed at {sums.TESTBED}; set NARROW_TESTBED", file=sys.stderr)
        return 0
    known = sums.RESULTS / "overflow.json"
    rows = {r["network"]: r for r in (json.loads(known.read_text()) if known.is_file() else [])}
    with tempfile.TemporaryDirectory() as temporary:
        for form in arguments.forms.split(","):
            for name in sums.REAL:
                if not re.search(arguments.only, name) or (not arguments.only and form in rows.get(name, {})):
                    continue
                network = sums.Network(name, arguments, arguments.work or temporary)
                rows.setdefault(name, {"network": name})[form] = count(network, form, LIMITS[network.tests[0]])
                write([rows[n] for n in sums.REAL if n in rows])
                print(name, form, percent(share(rows[name][form], "sums_outside", "sums")), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
