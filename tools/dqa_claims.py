# SPDX-License-Identifier: Apache-2.0
"""The claims of the DQA paper, told from rows: those of bench_dqa_paper.py (its own setting, simulated) and those of
bench_activations.py (Narrow's integers). sections(simulated, integer) returns lines of docs/results/activations.md.
"""
import itertools
import statistics

BITS = (3, 4, 5)
SHARES = ("0.0", "0.2", "0.4", "0.6", "0.8", "1.0")
RANKED = {"by error: ": "DQA, ranked by error", "by accuracy: ": "DQA, ranked by accuracy"}  # of the simulation

HEAD = """## Claims of the DQA paper

Its own setting is *simulated* (`tests/models/dqa_paper.c`): float weights and sums; only outputs of blocks are rounded,
on signed grids with a scale per channel and running batch; channels ranked by the error of their rounding, or where it
says so by accuracy as the authors do (on fewer pictures than their 5,000). Narrow's integers: 8-bit weights, every tensor
of codes, static ranges fitted to calibration pictures, `cifar10-png/test` and `camvid/test` (tables below). Gaps are
points of accuracy or of mIoU at 3, 4, 5 bits.
Came out: as the claim says in every cell that was measured; *within the error*: where it is not so, by less than two
standard errors (mIoU has none).

| claim | paper's setting, simulated | came out | Narrow's integers | came out |
|---|---|---|---|---|"""

SIMULATED = """## The DQA paper's own setting, simulated

Float engine, float weights: no integer network computes these. Columns as above; random channels: mean of five choices
and their standard deviation; raw: without Huffman codes."""


def key_of(row):
    return row["network"], row["bits"], row["method"]


class Setting:
    """Rows by (network, bits, method), whichever setting they are of.

    dqa: what is told in front of each form of DQA, and its method; random: the method with random channels.
    """

    def __init__(self, rows, dqa, random):
        self.rows, self.dqa, self.random = dict(rows), dqa, random
        self.networks = list(dict.fromkeys(network for network, _, _ in self.rows))

    def pairs(self, method, rival, more=0):
        """(network, row, the rival's at `more` bits more) of all cells that have both."""
        cells = [(n, self.rows.get((n, b, method)), self.rows.get((n, b + more, rival)))
                 for n in self.networks for b in BITS]
        return [cell for cell in cells if cell[1] and cell[2]]


def simulated_setting(rows):
    return Setting([(key_of(r), r) for r in rows], RANKED, "DQA, random")


def integer_setting(rows):
    """Placement `all` on the pictures that the simulation has too; rows of an earlier quantizer left out."""
    return Setting([((r["network"], r["activation_bits"], r["method"]), r) for r in rows
                    if r["placement"] == "all" and r["data"] in ("cifar10-png/test", "camvid/test")
                    and not r.get("note")], {"": "DQA"}, "DQA, random channels")


def gap(a, b):
    return 100 * (a["accuracy"] - b["accuracy"])


def signed(points):
    return f"{round(points, 1) + 0.0:+.1f}"  # no minus in front of a zero


def error(a, b):
    """Two standard errors of a gap, as of independent pictures; 0 where none is known (mIoU)."""
    return 200 * sum((r["standard_error"] or 0.0)**2 for r in (a, b))**0.5


def outcome(cells):
    """cells: (gap that the claim wants to be 0 or more, what is within the error)."""
    if all(g >= 0 for g, _ in cells):
        return "**yes**"
    return "within the error" if all(g >= -e for g, e in cells) else "**no**"


def by_network(values):
    """(network, text) in order, as `network text, text; network text`."""
    groups = itertools.groupby(values, key=lambda v: v[0])
    return "; ".join(f"{network} {', '.join(text for _, text in group)}" for network, group in groups)


def of_each(tell, setting, *arguments):
    """What tell(setting, method, ...) says of each form of DQA, and how it came out, or None where nothing is known."""
    told = [(name, tell(setting, method, *arguments)) for name, method in setting.dqa.items()]
    told = [(name, *answer) for name, answer in told if answer]
    if not told:
        return "not measured", ""
    outcomes = [result for _, _, result in told]
    return ("<br>".join(name + text for name, text, _ in told),
            outcomes[0] if len(set(outcomes)) == 1 else "<br>".join(name + result for name, _, result in told))


def beats(setting, method, rival, more=0):
    """How far DQA is ahead of a rival in each cell."""
    pairs = setting.pairs(method, rival, more)
    if pairs:
        return (by_network((n, signed(gap(a, b))) for n, a, b in pairs),
                outcome([(gap(a, b), error(a, b)) for _, a, b in pairs]))


def shrinks(setting, method):
    """A2, against direct."""
    told, falls = [], []
    for network in setting.networks:
        pairs = [(a, b) for n, a, b in setting.pairs(method, "direct") if n == network]
        if len(pairs) == len(BITS):
            told.append((network, ", ".join(signed(gap(*pair)) for pair in pairs)))
            falls += [(gap(*first) - gap(*second), (error(*first)**2 + error(*second)**2)**0.5)
                      for first, second in zip(pairs, pairs[1:])]
    if told:
        return by_network(told), outcome(falls)


def shares(setting, method):
    """A3 at 3 bits: accuracy by share, and how much of the gain of all channels 0.4 brings."""
    told, rises, most = [], [], []
    for network in setting.networks:
        names = {f"{method}, share {share}": share for share in SHARES} | {method: "0.4"}
        by_share = {share: row for name, share in names.items() if (row := setting.rows.get((network, 3, name)))}
        by_share.setdefault("0.0", setting.rows.get((network, 3, "direct")))
        rows = [by_share.get(share) for share in SHARES]
        if all(rows):
            accuracies = [100 * r["accuracy"] for r in rows]
            gained = (accuracies[2] - accuracies[0]) / (accuracies[-1] - accuracies[0])
            told.append((network, ", ".join(f"{a:.1f}" for a in accuracies) + f" ({100 * gained:.0f} % at 0.4)"))
            rises += [(gap(b, a), error(a, b)) for a, b in zip(rows, rows[1:])]
            most.append(gained >= 0.5)
    if told:
        rising = {"**yes**": "rises", "within the error": "rises within the error", "**no**": "does not rise"}
        return by_network(told), f"{rising[outcome(rises)]}; most at 0.4: {'**yes**' if all(most) else '**no**'}"


def coded(setting, method, raw, stored):
    """A5: bits per value with coding against without."""
    rows = [(n, r) for n in setting.networks for b in BITS if (r := setting.rows.get((n, b, method))) and stored in r]
    if rows:
        return (by_network((n, f"{r[stored]:.3f} of {r[raw]:.3f}") for n, r in rows),
                "**yes**" if all(r[stored] < r[raw] for _, r in rows) else "**no**")


def restored(setting):
    """A6: values put together from both parts, of all rows with DQA."""
    rows = [r for r in setting.rows.values() if "restored" in r]
    wrong = sum(r["restored_otherwise"] for r in rows)
    return (f"{wrong} of {sum(r['restored'] for r in rows):,} values differ",
            "**no**" if wrong else "**yes**")


def claims(simulated, integer):
    """(claim, (text, outcome) simulated, (text, outcome) integer)."""
    def both(tell, *arguments):
        return [of_each(tell, setting, *arguments) for setting in (simulated, integer)]

    return [
        ("A1: ahead of direct at 3, 4, 5 bits", *both(beats, "direct")),
        ("A1: ahead of NoisyQuant", *both(beats, "NoisyQuant")),
        ("A2: the gap to direct shrinks as n grows", *both(shrinks)),
        ("A3: accuracy at 3 bits rises with the share of channels (0, 0.2 to 1), most of it by 0.4", *both(shares)),
        ("A4: ranked channels ahead of random ones", *[of_each(beats, s, s.random) for s in (simulated, integer)]),
        ("A5: coded, the extra bits take less (bits per value; Narrow codes the rest too)",
         of_each(coded, simulated, "raw_bits_per_value", "bits_per_value"),
         of_each(coded, integer, "bits_per_value", "coded_bits_per_value")),
        ("A6: restored channels are those of n + m bits, bit for bit", restored(simulated),
         ("codes of n + m bits are what is stored, and storage changes no byte (tests)", "by construction")),
        ("Not claimed: ahead of direct at n + 1 bits, about as many", *both(beats, "direct", 1)),
    ]


def simulated_table(rows):
    lines = [SIMULATED, "",
             "| network | bits | method | pictures | accuracy | agreement | SQNR | bits per value | raw |",
             "|---" * 9 + "|"]
    networks = list(dict.fromkeys(r["network"] for r in rows))
    for r in sorted(rows, key=lambda r: (networks.index(r["network"]), r["bits"] % 32)):
        ranking = f" (on {r['ranking_pictures']} pictures)" if "ranking_pictures" in r else ""
        several = len(r["accuracies"]) > 1
        scatter = f" (choices: ± {100 * statistics.stdev(r['accuracies']):.2f})" if several else ""
        of_error = f" ± {100 * r['standard_error']:.2f}" if r["standard_error"] is not None else ""
        rest = (f"{100 * r['agreement']:.2f} | {r['sqnr_db']:.1f} | {r['bits_per_value']:.2f} |"
                f" {r['raw_bits_per_value']:.2f}" if "agreement" in r else "100.00 | | |")
        lines.append(f"| {r['network']} | {r['bits']} | {r['method']}{ranking} *simulated* | {r['samples']} |"
                     f" {100 * r['accuracy']:.2f}{of_error} {r['unit']}{scatter} | {rest} |")
    return lines + [""]


def sections(simulated, integer):
    """Lines of the section of claims and, as a second list, of the table of simulated rows; empty without rows."""
    if not simulated:
        return [], []
    told = claims(simulated_setting(simulated), integer_setting(integer))
    lines = [HEAD] + [f"| {claim} | {' | '.join(first)} | {' | '.join(second)} |" for claim, first, second in told]
    return lines + [""], simulated_table(simulated)
