# SPDX-License-Identifier: Apache-2.0
"""From the rows of accuracy.json to the page docs/results/accuracy.md: page(rows) returns its text.

A row is what bench_accuracy.measure returns. Whether a goal or a claim holds is computed here from the rows; one whose
rows are missing says so.
"""
import statistics

CIFAR = ("cifar10-png/test", "cifar10/test")
RESNETS = ("resnet20-cifar10", "resnet32-cifar10", "resnet56-cifar10")
MV2, MV1, UNET = "mobilenetv2-cifar10", "mobilenetv1-0.25-imagenet", "unet-camvid"
BASE = "plain + bias correction"  # all 8-bit rows, and what every other method is compared with
TEN = "multipoint 10 %"
PER_TENSOR = "per tensor: "

# (weights, activations, network, data): most points to lose
GOALS = {(8, 8, network, data): 0.5 for network in RESNETS + (MV2,) for data in CIFAR}
GOALS |= {(4, 8, network, data): 0.5 for network in RESNETS for data in CIFAR}
GOALS |= {(4, 8, MV2, data): 1.0 for data in CIFAR}
GOALS |= {(4, 8, MV1, "imagenet/test.csv"): 5.0}
GOALS |= {(3, 8, network, data): most for network in RESNETS for data, most in zip(CIFAR, (1.5, 2.5))}
GOALS |= {(4, 4, network, CIFAR[0]): 2.0 for network in RESNETS}
GOALS |= {(4, 4, MV2, CIFAR[0]): 4.0}

# Points lost by AIMET-ONNX 2.42 with AdaRound (simulation, 256 calibration images, 1,000 steps) on the same files; its
# JPEG figures are for every second picture of the 5,000.
AIMET = {
    (4, 8, "resnet20-cifar10"): (-1.0, 0.4), (4, 8, "resnet32-cifar10"): (-0.4, 0.3),
    (4, 8, MV2): (1.2, 0.7), (4, 8, MV1): (23.1,),
    (4, 4, "resnet20-cifar10"): (13.5, 20.0), (4, 4, "resnet32-cifar10"): (32.3, 38.8),
}

HEAD = """# Accuracy

Written by `make bench-accuracy` (`tools/bench_accuracy.py`); integer engine, pictures that calibration never saw, in
percent. *Lost*: points below the float network on the same pictures; ± is one standard error of the accuracy, and
differences below two of them are ties (mIoU has no such simple error and stands without one). *Narrow MACs*: share of
the multiply-accumulates with weights below 8 bits; first and last layers keep 8. *Extra MACs*: spent on further
points.

Calibration pictures are of the kind tested: lossless ones for `cifar10-png/test`, JPEGs for `cifar10/test`. On
held-out lossless training pictures that gives 34.9, 33.7, 32.9 and 32.5 dB of output SQNR at W8A8
(mobilenetv2-cifar10, resnet20, 32, 56), calibration on JPEGs 34.6, 32.5, 30.7 and 31.8.

Every row has empirical bias correction, the same activation ranges and steps by least output error; `plain` alone is
not corrected. `refine` is Narrow's learned rounding, the default below 8 bits; `learned`, the default behind narrow
activations, goes on from there ([methods](../methods.md#learning)), all other rows do without (`--learn 0`). OCS stands for 10 % more
multiply-accumulates, as in its paper; the engine plays it, and the piecewise grids, with a second vector for every
channel, which its columns show. *Per tensor*: one step for all channels of a layer below 8 bits, no equalization.

Chosen with an eye on these test pictures, so slightly flattered: how many calibration samples rounding keeps (34 or
100, mobilenetv1-0.25). Rows marked `earlier` were made by an earlier quantizer; the next run measures them again.
"""


class Rows:
    """The rows by what they measure."""

    def __init__(self, rows):
        self.rows = rows
        self.by_key = {(r["network"], r["weight_bits"], r["activation_bits"], r["method"], r["data"]): r for r in rows}
        self.networks = list(dict.fromkeys(r["network"] for r in rows))

    def get(self, network, weights, acts, method, data):
        return self.by_key.get((network, weights, acts, method, data))

    def data_of(self, network):
        return list(dict.fromkeys(r["data"] for r in self.rows if r["network"] == network))

    def pairs(self, one, other, widths=(4, 3, 2), acts=8):
        """Yields (row of method `one`, row of `other`) for the same network, widths and data."""
        for r in self.rows:
            if r["method"] == one and r["weight_bits"] in widths and r["activation_bits"] == acts:
                twin = self.get(r["network"], r["weight_bits"], acts, other, r["data"])
                if twin:
                    yield r, twin


def lost(row):
    return 100 * (row["float"] - row["accuracy"])


def error_of(row):
    return f" ± {100 * row['standard_error']:.2f}" if row["standard_error"] is not None else ""


def cell(row):
    return f"{100 * row['accuracy']:.2f}{error_of(row)} | {lost(row):.2f}" if row else " | "


def table(columns, lines):
    return [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)] + lines + [""]


def goals(rows):
    lines = []
    for (weights, acts, network, data), most in GOALS.items():
        method = BASE if weights == 8 else "refine" if acts == 8 else "learned"
        row = rows.get(network, weights, acts, method, data)
        if not row:
            continue
        points = rows.get(network, weights, acts, "multipoint 5 % + refine", data)
        rival = AIMET.get((weights, acts, network), ())
        rival = rival[min(CIFAR.index(data), len(rival) - 1) if data in CIFAR else 0] if rival else None
        lines.append(
            f"| W{weights}A{acts} | {network} | {data} | {most:.1f} | {lost(row):.2f}{error_of(row)}"
            f"{row.get('note', '')} | {'yes' if lost(row) <= most + 1e-9 else '**no**'} |"
            f" {f'{lost(points):.2f}' if points else ''} |"
            f" {f'{rival:.1f}' if rival is not None else ''} | {100 * row['narrow_mac_share']:.1f} % |")
    return ["## Goals", "", "Points lost with the defaults, and what was aimed at. AIMET: AIMET-ONNX 2.42 with AdaRound"
            " on the same files (simulation, 1,000 steps; JPEG: every second picture); it has no 3-bit type. Published, on"
            " ImageNet: W4A8 with AdaRound loses 0.7 (ResNet-18) and 0.9 (MobileNetV2), W4A4 with QDrop 2.2 and 4.5.",
            ""] + table(["widths", "network", "data", "aim", "lost", "met", "multipoint 5 % + refine", "AIMET",
                         "narrow MACs"], lines)


def listed(pairs, count=6):
    """The pairs in words, the largest differences first."""
    ordered = sorted(pairs, key=lambda p: -abs(lost(p[1]) - lost(p[0])))
    names = [f"{a['network']} W{a['weight_bits']} {lost(a):.1f} against {lost(b):.1f}" for a, b in ordered[:count]]
    return "; ".join(names) + (f"; {len(ordered) - count} more" if len(ordered) > count else "")


def margin(a, b):
    """Two standard errors of an accuracy, in points; mIoU counts with 0.25."""
    return 200 * max(a["standard_error"] or 0.00125, b["standard_error"] or 0.00125)


def versus(rows, one, other):
    """The pairs in which not both methods destroy the network, and how often `one` is ahead or behind."""
    pairs = [(a, b) for a, b in rows.pairs(one, other) if min(lost(a), lost(b)) < 40]
    ahead = sum(lost(b) - lost(a) > margin(a, b) for a, b in pairs)
    behind = sum(lost(a) - lost(b) > margin(a, b) for a, b in pairs)
    return pairs, f"ahead by more than two standard errors in {ahead} of {len(pairs)} cells, behind in {behind}"


def claim_decay(rows):
    del rows
    return ("shown by a unit test on Gaussian rows (`tests/unit/test_quant_multipoint.c`, test_exponential_decay): the mean"
            " log residual against the points is a line with R² > 0.95 at every width from 1 to 8 bits")


def claim_gain(rows):
    found = []
    for scale, named in ((PER_TENSOR, "with one step for a layer, the paper's scale (further points have steps of their own)"),
                         ("", "with a step for every channel, Narrow's default, which leaves less to gain")):
        hurt = [(a, b) for a, b in rows.pairs(scale + TEN, scale + BASE) if lost(b) > 10]
        gained = sum(lost(b) - lost(a) > 5 for a, b in hurt)
        if hurt:
            found.append(f"{named}: in {gained} of {len(hurt)} cells, points lost {listed(hurt)}")
    return "10 % more multiply-accumulates; " + "; ".join(found) if found else ""


def claim_depthwise(rows):
    pairs = [(a, b) for a, b in rows.pairs(TEN, BASE) if a["network"] in (MV2, MV1)]
    return f"runs there; points lost with 10 % against plain: {listed(pairs)}" if pairs else ""


def claim_rivals(rows):
    found = []
    for rival in ("OCS 10 %", "piecewise linear", "power of two"):
        pairs, text = versus(rows, TEN, rival)
        if pairs:
            size, macs = (statistics.median(a[key] / b[key] for a, b in pairs) for key in ("weight_bytes", "macs"))
            found.append(f"against {rival} {text}, at {size:.2f} times its bytes and {macs:.2f} times its"
                         f" multiply-accumulates as stored and played here: {listed(pairs)}")
    return "; ".join(found) + (". Clipping is in both arms: steps are chosen by output error" if found else "")


def claim_choice(rows):
    pairs, text = versus(rows, TEN, "random points 10 %")
    return f"at equal extra multiply-accumulates {text}: {listed(pairs)}" if pairs else ""


def claim_overhead(rows):
    shares = [a["weight_bytes"] / b["weight_bytes"] - 1 for a, b in rows.pairs(TEN, BASE)]
    return (f"10 % more multiply-accumulates take {100 * min(shares):.1f} to {100 * max(shares):.1f} % more bytes of"
            " weights. That is the budget, not what accuracy needs: see the rows of 2 and 5 %") if shares else ""


def claim_scenes(rows):
    scene = [(a, b) for a, b in rows.pairs(TEN, BASE) if a["network"] == UNET]
    return ("no labelled detection data here; detectors by agreement with the float network:"
            " [detectors-weights](detectors-weights.md). Segmentation, points of"
            f" mIoU lost with 10 % against plain: {listed(scene)}") if scene else ""


def beyond(rows):
    pairs, text = versus(rows, "multipoint 5 % + refine", "refine")
    return f"5 % more multiply-accumulates {text}: {listed(pairs)}" if pairs else ""


CLAIMS = {
    "C1, the residual falls exponentially with the number of points": claim_decay,
    "C2, more than 5 points gained where plain rounding loses more than 10": claim_gain,
    "C3, works on depthwise networks": claim_depthwise,
    "C4, better than OCS and clipping": claim_rivals,
    "C5, channels chosen by output error beat random ones": claim_choice,
    "C6, little overhead": claim_overhead,
    "C7, the gain grows as bits fall, for more than classes": claim_scenes,
    "Not in the paper: further points on top of learned rounding": beyond,
}


def claims(rows):
    """What the multipoint paper's claims come to here; one whose rows are missing says so."""
    lines = ["## Claims of the multipoint paper (Liu et al. 2021)", "", "Points lost by the one method against the"
             " other, the largest differences first; cells where both lose more than 40 points are left out.", ""]
    return lines + [f"- *{claim}*: {find(rows) or 'not measured'}." for claim, find in CLAIMS.items()] + [""]


def section(rows, network):
    mine = [r for r in rows.rows if r["network"] == network]
    tests = rows.data_of(network)
    base = next((r["macs"] for r in mine if r["weight_bits"] == 8), None)
    about = [next(r for r in mine if r["data"] == t) for t in tests]
    facts = "; ".join(f"`{r['data']}`: {r['samples']} pictures, float {100 * r['float']:.2f} {r['unit']}"
                      for r in about)
    columns = ["widths", "method"] + [c for t in tests for c in (t, "lost")]
    columns += ["weight bytes", "narrow MACs", "extra MACs"]
    lines = []
    for key in dict.fromkeys((r["weight_bits"], r["activation_bits"], r["method"]) for r in mine):
        row = next(r for r in mine if (r["weight_bits"], r["activation_bits"], r["method"]) == key)
        weights, acts, method = key
        cells = " | ".join(cell(rows.get(network, weights, acts, method, t)) for t in tests)
        note = row.get("note", "")
        extra = f"{100 * (row['macs'] / base - 1):.1f} %" if base else ""
        lines.append(f"| W{weights}A{acts} | {method}{note} | {cells} | {row['weight_bytes']} |"
                     f" {100 * row['narrow_mac_share']:.1f} % | {extra} |")
    return [f"## {network}", "", facts + ".", ""] + table(columns, lines)


def page(results):
    rows = Rows(results)
    lines = [HEAD] + goals(rows) + claims(rows)
    for network in rows.networks:
        lines += section(rows, network)
    lines += ["## Commands", "", "One per row and data set; `$NARROW_TESTBED` is the test-bed's folder.", "", "```sh"]
    lines += [r["command"] for r in results] + ["```"]
    return "\n".join(lines) + "\n"
