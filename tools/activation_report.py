# SPDX-License-Identifier: Apache-2.0
"""The page of bench_activations.py's rows: docs/results/activations.md.

A row is what bench_activations.measure returns. Goals, comparisons and who wins are computed here from the rows alone.
"""
import statistics

import dqa_claims

HEAD = """# Activations of 3 to 6 bits

Written by `make bench-accuracy` (`tools/bench_activations.py`); integer engine, 8-bit weights, pictures that
calibration never saw, in percent. Lost: points below the float network on the same pictures. ±: one standard error of
the accuracy; differences below two of them are ties (mIoU stands without one). Placement `all`: every tensor of codes
but the network's input; `blocks`: outputs of blocks, the rest 8 bits. Both arms of a comparison have the same ranges,
bias correction and rounding. Bits per value: of packed storage as it is, and coded (`--activation-storage coded`, on
32 of the pictures). SQNR: of the outputs, in dB. Agreement: answers equal to the float network's. Rows and cells marked
`earlier` were made by an earlier quantizer; they are compared with nothing, and the next run measures them again. Rows
with 4-bit weights too are in [accuracy.md](accuracy.md).

- DQA: 3 extra bits in 40 % of the channels (or the share that the row names), chosen by the output error that they
  save; random channels: as many, chosen by lot, mean of five seeds and their standard deviation.
- Direct, equal coded bits (as DQA's at n bits, on 32 calibration pictures; `tools/equal_bits.py`): a mixture of two
  neighbouring widths. Which tensors have the larger one is spread evenly over the depth of the network, their share
  found by secant. Planned: widths of its own for every tensor by measured damage (`--target-acts`), the mean width
  found likewise.
- Weights and biases are fitted to 96 of the calibration samples, to 384 where learning follows (as memory allows).
- Learned (the default): weights, biases and clips then moved along their gradients on 1,000 calibration samples, an
  eighth of which only judges, [methods](../methods.md#learning); the other rows are without (`--learn 0`).
- Planned: as many bits on average, each tensor with widths of its own and DQA where that is worth its bits, then
  learned.
"""
LOSSLESS = "cifar10-png/test"
GOALS = {("all", 4): 1.5, ("all", 3): 3.0, ("blocks", 4): 0.7, ("blocks", 3): 1.5}  # points to lose, LOSSLESS


def cell_of(r):
    return r["network"], r["data"], r["placement"], r["activation_bits"], r["method"]


def lost(r):
    return 100 * (r["float"] - r["accuracy"])


def error_of(r):
    return f" ± {100 * r['standard_error']:.2f}" if r["standard_error"] is not None else ""


def spread_of(r):
    """Standard deviation over the seeds."""
    several = len(r["accuracies"]) > 1
    return f" (seeds: ± {100 * statistics.stdev(r['accuracies']):.2f})" if several else ""


def met(r, most):
    return "yes" if lost(r) <= most + 1e-9 else "**no**"


def goals(results):
    methods = ("learned", "direct", "DQA", "DQA, learned")
    lines = ["## Goals", "", f"| network | placement | bits | aim | {' lost | met | '.join(methods)} lost | met |",
             "|---" * (4 + 2 * len(methods)) + "|"]
    by_cell = {cell_of(r): r for r in results}
    for network in dict.fromkeys(r["network"] for r in results if r["data"] == LOSSLESS):
        for (placement, bits), most in GOALS.items():
            cells = []
            for method in methods:
                row = by_cell.get((network, LOSSLESS, placement, bits, method))
                error = error_of(row) if row and method == "learned" else ""
                cells.append(f"{lost(row):.2f}{error}{row.get('note', '')} | {met(row, most)}" if row else "|")
            lines.append(f"| {network} | {placement} | {bits} | {most} | {' | '.join(cells)} |")
    return lines + [""]


# Of n bits, and of n + 0 or n + 1.
RIVALS = (("DQA", "direct", 0), ("DQA", "direct", 1), ("DQA", "direct, equal coded bits", 0),
          ("DQA", "direct, equal coded bits, planned", 0), ("DQA", "DQA, random channels", 0), ("DQA", "NoisyQuant", 0),
          ("NoisyQuant", "direct", 0), ("learned", "direct", 0), ("DQA, learned", "DQA", 0),
          ("DQA, learned", "learned", 0), ("DQA, learned", "learned", 1), ("planned", "learned", 0))
TOLD = RIVALS[:5] + (("DQA, learned", "learned", 1), ("planned", "learned", 0))  # the comparison in words


WINNERS = """## Who wins

The same pictures on both sides. Points, agreement, dB: by how much the first loses less, agrees more with the float
network and comes nearer to its outputs (SQNR), mean over the cells that have both (network, pictures, placement, n).
Ahead, behind: cells in which points differ by more than two standard errors (as of independent pictures, which is
careful). Nearer: cells in which the first has the higher SQNR, a finer measure than points. Coded bits: per value.

| first | second | cells | points | ahead | behind | agreement | dB | nearer | coded bits |
|---|---|---|---|---|---|---|---|---|---|"""


def pairs_of(results, first, second, more):
    """Rows of the first rival, each with the second's of the same cell and `more` bits more."""
    by_cell = {cell_of(r): r for r in results if not r.get("note")}
    pairs = []
    for (network, data, placement, bits, method), a in by_cell.items():
        b = by_cell.get((network, data, placement, bits + more, second))
        if method == first and b:
            pairs.append((a, b))
    return pairs


def compare(pairs):
    """Means over the cells, and in how many of them the first is surely ahead, surely behind, nearer to float."""
    gains = [100 * (a["accuracy"] - b["accuracy"]) for a, b in pairs]
    sure = [gain / (100 * (a["standard_error"]**2 + b["standard_error"]**2)**0.5)
            for gain, (a, b) in zip(gains, pairs) if a["standard_error"] is not None]
    decibels = [a["sqnr_db"] - b["sqnr_db"] for a, b in pairs]
    return {"cells": len(pairs), "points": statistics.mean(gains), "ahead": sum(s > 2 for s in sure),
            "behind": sum(s < -2 for s in sure),
            "decibels": statistics.mean(decibels), "nearer": sum(d > 0 for d in decibels),
            "agreement": statistics.mean(100 * (a["agreement"] - b["agreement"]) for a, b in pairs),
            "coded": [statistics.mean(pair[i]["coded_bits_per_value"] for pair in pairs) for i in range(2)]}


def name_of(method, more):
    return method if "equal" in method else f"{method}, n{' + 1' if more else ''} bits"


def coded_of(c):
    return " against ".join(f"{side:.2f}" for side in c["coded"])


def verdict(c):
    """By points where cells are sure and none of them contradicts; else a tie in points, with the nearer side."""
    if c["ahead"] and not c["behind"]:
        return "the first wins"
    if c["behind"] and not c["ahead"]:
        return "the second wins"
    for side, cells in (("first", c["nearer"]), ("second", c["cells"] - c["nearer"])):
        if cells == c["cells"]:
            return f"a tie in points, the {side} nearer to float everywhere"
        if 3 * cells >= 2 * c["cells"]:
            return f"a tie in points, the {side} nearer to float mostly"
    return "a tie"


def told(compared):
    """Who wins, in words."""
    lines = ["In words:", ""]
    for (first, second, more), c in compared:
        lines.append(f"- {name_of(first, 0)}, against {name_of(second, more)}: **{verdict(c)}**. On average"
                     f" {c['points']:+.2f} points and {c['decibels']:+.1f} dB for {coded_of(c)} coded bits;"
                     f" surely ahead in {c['ahead']} of {c['cells']} cells, behind in {c['behind']}.")
    return lines + [""]


def winners(results):
    """Every pair of rivals over all cells that have both."""
    compared = [(rivals, compare(pairs)) for rivals in RIVALS if (pairs := pairs_of(results, *rivals))]
    lines = [WINNERS]
    for (first, second, more), c in compared:
        lines.append(f"| {name_of(first, 0)} | {name_of(second, more)} | {c['cells']} | {c['points']:+.2f} |"
                     f" {c['ahead']} | {c['behind']} | {c['agreement']:+.2f} | {c['decibels']:+.1f} | {c['nearer']} |"
                     f" {coded_of(c)} |")
    return lines + [""] + told([(rivals, c) for rivals, c in compared if rivals in TOLD])


def table(results, network):
    lines = [f"## {network}", "", "| bits | placement | method | data | pictures | accuracy | float | lost |"
             " agreement | SQNR | bits per value | coded |", "|---" * 12 + "|"]
    for r in results:
        if r["network"] != network:
            continue
        sqnr = f"{r['sqnr_db']:.1f}" if "sqnr_db" in r else ""
        coded = f"{r['coded_bits_per_value']:.2f}" if "coded_bits_per_value" in r else ""
        method = r["method"] + r.get("note", "")
        accuracy = f"{100 * r['accuracy']:.2f}{error_of(r)} {r['unit']}{spread_of(r)}"
        lines.append(
            f"| {r['activation_bits']} | {r['placement']} | {method} | {r['data']} | {r['samples']} |"
            f" {accuracy} | {100 * r['float']:.2f} | {lost(r):.2f} |"
            f" {100 * r['agreement']:.2f} | {sqnr} | {r['bits_per_value']:.2f} | {coded} |")
    return lines + [""]


def ordered(results, methods):
    """The rows in the page's order; methods: names in theirs."""
    networks = list(dict.fromkeys(r["network"] for r in results))
    return sorted(results, key=lambda r: (networks.index(r["network"]), r["data"] != LOSSLESS, r["placement"],
                                          r["activation_bits"], methods.index(r["method"])))


def page(results, simulated):
    """The page of rows that are in order; simulated: those of bench_dqa_paper.py."""
    claims, table_of_simulated = dqa_claims.sections(simulated, results)
    lines = [HEAD] + goals(results) + winners(results) + claims
    for network in dict.fromkeys(r["network"] for r in results):
        lines += table(results, network)
    lines += table_of_simulated
    lines += ["## Commands", "", "`$NARROW_TESTBED` is the test-bed's folder.", "", "```sh"]
    lines += [command for r in results for command in r["commands"]]
    lines += list(dict.fromkeys(r["command"] for r in simulated)) + ["```"]
    return "\n".join(lines) + "\n"
