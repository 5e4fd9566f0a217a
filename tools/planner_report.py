# SPDX-License-Identifier: Apache-2.0
"""From the rows of planner.json to the page docs/results/planner.md: page(rows, facts) returns its text.

A row is what bench_planner.Network.make or .hurry returns, rows in the order of the page; facts are the slopes of the
noise by network. Shares saved and claims are computed here from the rows; what is not measured is left out.
"""
import itertools
import math

PLANNED = "exact, shared and coded"  # what the command does
BOTH_CODED = "equal, shared and coded"
# two arms at equal bytes: arm, rival, in words
PAIRS = ((PLANNED, "equal", "planned over equal widths, packed"),
         (PLANNED, BOTH_CODED, "allocation alone, both shared and coded"),
         ("exact", "equal", "allocation alone, both packed"),
         ("exact, activations", "equal, activations", "weights and activations, both packed"),
         ("exact, split, activations", "equal, activations", "the same, bytes split by damage"))
ARMS = ("exact", "exact, coded", PLANNED, BOTH_CODED, "adaptive")

HEAD = """# Planner

Written by `make bench-planner`. Weights only (activations have 8 bits) unless said otherwise. All allocations round and
correct alike, fit the same file size (level b: that of b bits everywhere, packed) and were chosen on calibration
pictures; the score is the integer engine's on the test split, which nothing else saw. Packed, unless an allocation says
*coded*: weights entropy-coded in the file; *shared*: one step for all rows of a layer (docs/methods.md). Agreement:
answers equal to the float network's. One standard error of a score is 1.1 to 1.4 points (CIFAR-10, 498 pictures),
1.4 to 2.3 (ImageNet, 450); agreement and SQNR are paired and tell differences apart that the score cannot.
"""

SUMMARY = """## Summary

Bytes saved in %, at equal output SQNR / at equal agreement with the float network: mean over the rival's sizes; ≥: the
smallest file is better than all of the rival's. *Planned*: what the command does, rows of layers sharing a step, coded,
exact allocation. Goals: size of the file found, points lost on the test split, seconds of one thread on a shared
machine, measuring left out where a state file had it; *unproven*: the best found is expected to lose so many points, and the
goal lies within two standard errors of that: the calibration pictures set aside are too few. *Apart* (tables below): by how
many standard errors the test split loses more than the pictures set aside said it would.
"""


# ---- what is saved ----

def total(row):
    """Bytes of the file, and of all activations of one run where these were searched too."""
    return row["bytes"] + (row.get("activation_bytes") or 0)


def size_at(points, value, key):
    """Bytes at which a front (points by bytes) reaches a value, interpolated in log bytes; None outside of it."""
    best = []
    for p in sorted(points, key=total):
        if not best or p[key] > best[-1][key]:
            best.append(p)
    for a, b in zip(best, best[1:]):
        if a[key] <= value <= b[key]:
            share = (value - a[key]) / (b[key] - a[key])
            return math.exp(math.log(total(a)) + share * math.log(total(b) / total(a)))
    return None


def saved(rows, arm, rival, key):
    """
    Shares of bytes that an arm saves over a rival at the rival's own points; whether they are bounds. Where the arm's
    smallest point is better than all of the rival's, what it saves over the largest of these is the least it saves.
    """
    front = [r for r in rows if r["kind"] == arm]
    points = [r for r in rows if r["kind"] == rival]
    shares = [1.0 - size / total(p) for p in points for size in [size_at(front, p[key], key)] if size]
    smallest = min(front, key=total, default=None)
    bounds = [1.0 - total(smallest) / total(p) for p in points if smallest and p[key] <= smallest[key]]
    return (shares, False) if shares or max(bounds, default=0.0) < 0.01 else ([max(bounds)], True)


def mean_saved(rows, arm, rival, key):
    """Their mean, and in words; None if the fronts do not meet."""
    shares, bound = saved(rows, arm, rival, key)
    mean = sum(shares) / len(shares) if shares else None
    return mean, (f"{'≥ ' if bound else ''}{100 * mean:.0f}" if shares else "–")


def said(rows, arm, rival):
    """One line on what an arm saves, or none."""
    parts = []
    for key, name in (("sqnr_db", "SQNR"), ("agreement", "agreement")):
        shares, bound = saved(rows, arm, rival, key)
        if shares:
            parts.append(f"{'at least ' if bound else ''}{100 * sum(shares) / len(shares):.0f} % at equal {name}"
                         f" ({len(shares)} points)")
    return [f"- {arm} over {rival}: bytes saved " + ", ".join(parts)] if parts else []


# ---- the top of the page ----

def reach(means):
    """How many networks keep the claims D1 and D2."""
    return (f"{sum(m >= 0.1 for m in means)} of {len(means)} networks save 10 % or more,"
            f" {sum(m >= 0.2 for m in means)} save 20 %")


def missed(row):
    """How a goal for the drop was missed: for sure, or with what is expected within two standard errors of it."""
    wanted = 0.01 * float(row["kind"].rpartition(" ")[2])
    error = row.get("drop_error") or 0.0
    expected = row["held_out_drop"] - error
    return f"{'unproven' if expected - 2 * error <= wanted else 'missed'}: {100 * expected:.2f} +- {100 * error:.2f}"


def goal_cell(rows, goal):
    """Size of the file found, what it loses on the test split, and the time taken."""
    r = next((r for r in rows if r["kind"] == goal), None)
    if not r:
        return ""
    return (f"{100 * r['bytes'] / r['float_bytes']:.1f} % of float, {100 * (r['float'] - r['score']):.2f} lost,"
            f" {r['seconds']:.0f} s" + ("" if r["met"] else ", " + missed(r)))


def summary(by_network):
    lines = [SUMMARY, "| network | " + " | ".join(words for _, _, words in PAIRS)
             + " | `--max-drop 0.5` | `--target-size 20%` |", "|---|" + "---|" * (len(PAIRS) + 2)]
    for network, rows in by_network.items():
        cells = []
        for arm, rival, _ in PAIRS:
            both = [mean_saved(rows, arm, rival, key)[1] for key in ("sqnr_db", "agreement")]
            cells.append("" if both == ["–", "–"] else " / ".join(both))
        cells += [goal_cell(rows, "drop of 0.5"), goal_cell(rows, "size of 20 %")]
        lines.append(f"| {network} | " + " | ".join(cells) + " |")
    means = {key: [m for rows in by_network.values() for m, _ in [mean_saved(rows, PLANNED, "equal", key)]
                   if m is not None] for key in ("sqnr_db", "agreement")}
    return lines + ["", f"Planned over equal widths: at equal SQNR {reach(means['sqnr_db'])}; at equal agreement"
                    f" {reach(means['agreement'])}.", ""]


# ---- a network's own part ----

def quality(r):
    return (f"{100 * r['score']:.2f} | {100 * (r['float'] - r['score']):.2f} | {100 * r['agreement']:.2f} % |"
            f" {r['sqnr_db']:.1f}")


def weights_part(rows):
    lines = ["| allocation | level | file bytes | of float | score | lost | agreement | SQNR dB |",
             "|---|---|---|---|---|---|---|---|"]
    for r in rows:
        lines.append(f"| {r['kind']} | {r['level']} | {r['bytes']} | {100 * r['bytes'] / r['float_bytes']:.1f} % |"
                     f" {quality(r)} |")
    lines.append("")
    for rival, arm in itertools.product(("equal", "sqnr", BOTH_CODED), ARMS):
        if arm != rival and (rival != BOTH_CODED or arm == PLANNED):
            lines += said(rows, arm, rival)
    return lines


def activations_part(rows):
    if not rows:
        return []
    lines = ["", "Weights and activations: a file as above, and activations of as many bits on average. Split: as many"
             " bytes of both together, the split that the planner expects the least damage of.", "",
             "| allocation | level | file bytes | activation bits | activation bytes | score | lost | agreement"
             " | SQNR dB |", "|---|---|---|---|---|---|---|---|---|"]
    for r in rows:
        lines.append(f"| {r['kind']} | {r['level']} | {r['bytes']} | {r['activation_bits']:.2f} |"
                     f" {r['activation_bytes']:.0f} | {quality(r)} |")
    lines.append("")
    arms = dict.fromkeys(r["kind"] for r in rows)
    for arm, rival in itertools.product(arms, ("equal, activations", "sqnr, activations")):
        lines += said(rows, arm, rival) if arm != rival else []
    return lines


def slope_part(fact):
    if not fact:
        return [""]
    line = (f"- noise on Z falls by {-fact['slope_median']:.1f} dB per bit (median over layers;"
            f" {-fact['slope_high']:.1f} to {-fact['slope_low']:.1f})")
    return [line + (f"; measured in {fact['measuring']:.0f} s" if fact["measuring"] > 1.0 else ""), ""]


def apart(row):
    """
    By how many standard errors the test split loses more than was expected. Every answer that differs from the float
    network's is a point won or lost at most, which bounds the error of what is counted there.
    """
    if row.get("drop_error") is None:
        return ""
    counted = math.sqrt((1.0 - row["agreement"]) / row["samples"])
    lost = row["float"] - row["score"] - (row["held_out_drop"] - row["drop_error"])
    return f"{lost / math.hypot(counted, row['drop_error']):+.1f}"


def goals_part(rows):
    if not rows:
        return []
    lines = ["| goal | met on held-out | file bytes | of float | lost, held-out | lost, test | apart, in errors"
             " | networks | seconds |", "|---|---|---|---|---|---|---|---|---|"]
    for r in rows:
        held = "" if r["held_out_drop"] is None else f"{100 * r['held_out_drop']:.2f} ({r['held_out']})"
        if r.get("drop_error") is not None:
            expected = 100 * (r["held_out_drop"] - r["drop_error"])
            held = f"{expected:.2f} +- {100 * r['drop_error']:.2f} ({r['held_out']})"
        lines.append(f"| {r['kind']} | {'yes' if r['met'] else 'no'} | {r['bytes']} |"
                     f" {100 * r['bytes'] / r['float_bytes']:.1f} % | {held} |"
                     f" {100 * (r['float'] - r['score']):.2f} ({r['samples']}) | {apart(r)} | {r['tried']} |"
                     f" {r['seconds']:.0f} |")
    return lines + [""]


# ---- over all networks ----

def times_part(rows):
    """Goals of time: expected in one process, measured in another."""
    if not rows:
        return []
    off = [abs(r["timed"] / r["expected"] - 1.0) for r in rows]
    lines = ["## Time", "",
             "`--target-latency` at a share of the time expected with 8 bits everywhere, networks that this machine had"
             " never timed: milliseconds of one thread as the planner expects them, and as `narrow bench` then measures"
             " them in processes of its own, of nine the middle one. Off by"
             f" {100 * sorted(off)[len(off) // 2]:.1f} % (median), {100 * max(off):.1f} % at most; within 10 % in"
             f" {sum(o <= 0.1 for o in off)} of {len(off)}.", "",
             "| network | goal | 8 bits | wanted | expected | measured | off by | met | sums | file bytes | lost, test"
             " | SQNR dB |", "|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for r in rows:
        lines.append(f"| {r['network']} | {r['kind']} | {r['eight_bits']:.3f} | {r['goal']:.3f} | {r['expected']:.3f} |"
                     f" {r['timed']:.3f} | {100 * (r['timed'] / r['expected'] - 1.0):+.1f} % |"
                     f" {'yes' if r['met'] else 'no'} | {r['accumulator']} | {r['bytes']} |"
                     f" {100 * (r['float'] - r['score']):.2f} ({r['samples']}) | {r['sqnr_db']:.1f} |")
    return lines + [""]


def together_part(rows):
    """Whether damages that were measured one row at a time add up."""
    if not rows:
        return []
    lines = ["## Sums of parts", "",
             "Damage is measured one layer (and tensor) at a time and added up. `narrow plan --together`: all of them"
             " rounded at once, each as it was alone, the rest in float, the same calibration pictures. Noise: on the"
             " last feature map, in % of its energy; ratios: sum over whole.", "",
             "| network | allocation | level | noise, sum | at once | ratio | ratio of the measure added up"
             " | pictures |", "|---|---|---|---|---|---|---|---|"]
    for r in rows:
        noise = [100 * r[key]["noise"] / r["signal"] for key in ("sum", "together")]
        lines.append(f"| {r['network']} | {r['kind'].removeprefix('sum of ')} | {r['level']} | {noise[0]:.3g} |"
                     f" {noise[1]:.3g} | {part(r, 'noise'):.2f} | {part(r, r['damage_measure']):.2f}"
                     f" ({r['damage_measure']}) | {r['samples']} |")
    return lines + [""]


def part(row, measure):
    """Sum of the parts over the whole."""
    return row["sum"][measure] / row["together"][measure] if row["together"][measure] > 0.0 else math.inf


def added_up(rows):
    """The second half of claim D4, in words: where the noise together is below a tenth of the signal, and elsewhere."""
    words = []
    for where, chosen in (("below 10 %", [r for r in rows if r["together"]["noise"] < 0.1 * r["signal"]]),
                          ("10 % or more", [r for r in rows if r["together"]["noise"] >= 0.1 * r["signal"]])):
        if not chosen:
            continue
        ratios = sorted(part(r, "noise") for r in chosen)
        others = sorted(part(r, r["damage_measure"]) for r in chosen)
        words.append(f"where the noise is {where} of Z's energy, {ratios[0]:.2f} to {ratios[-1]:.2f}, median"
                     f" {ratios[len(ratios) // 2]:.2f}, within 20 % in {sum(abs(x - 1.0) <= 0.2 for x in ratios)} of"
                     f" {len(ratios)} (measure that is added up: median {others[len(others) // 2]:.2f}, within 20 % in"
                     f" {sum(abs(x - 1.0) <= 0.2 for x in others)})")
    return "; ".join(words) if words else "not measured"


def phases_part(rows):
    """What planning takes, phase by phase."""
    if not rows:
        return []
    lines = ["## Phases", "",
             "`narrow plan --target-size 20%` from nothing, seconds of one thread on a shared machine.", "",
             "| network | layers | pictures measured on | calibrating | measuring | choosing, making, judging | made |",
             "|---|---|---|---|---|---|---|"]
    for r in rows:
        seconds = [f"{r['phases'][key]:.1f}" for key in ("calibrating", "measuring", "searching")]
        lines.append(f"| {r['network']} | {r['layers']} | {r['measured']} | {' | '.join(seconds)} | {r['tried']} |")
    return lines + [""]


def phases_said(rows):
    """Claim D6 in words."""
    if not rows:
        return "not timed"
    shares = sorted(r["phases"]["measuring"] / sum(r["phases"].values()) for r in rows)
    seconds = [r["phases"]["measuring"] for r in rows]
    return (f"{100 * shares[0]:.0f} to {100 * shares[-1]:.0f} % of the time of planning from nothing,"
            f" {min(seconds):.0f} to {max(seconds):.0f} s")


def memory_part(rows):
    """Networks planned from nothing, with random weights."""
    if not rows:
        return []
    lines = ["## Memory", "",
             "Whole planning runs of one thread, from nothing to a plan whose network was made and judged: the largest"
             " resident set of the processes while every layer was measured at every width (in so many sittings, each"
             " going on from the state file), and while the network was chosen, made and judged. Weights are random: no"
             " word about accuracy.", "",
             "| network | goal | layers | pictures: calibration, measured, set aside | measuring, MB | planning, MB"
             " | sittings | CPU seconds: measuring, planning | plan's file |", "|---|---|---|---|---|---|---|---|---|"]
    for r in rows:
        pictures = r["samples"]
        peaks = [f"{r[key] * 1.024e-3:.0f}" for key in ("measuring_peak_kib", "planning_peak_kib")]
        lines.append(f"| {r['network']} | `{r['goal']}` | {r['layers']} | {pictures['calibration']},"
                     f" {pictures['measured']}, {pictures['held_out']} | {peaks[0]} | {peaks[1]} | {r['sittings']} |"
                     f" {r['measuring_seconds']:.0f}, {r['planning_seconds']:.0f} |"
                     f" {100 * r['bytes'] / r['float_bytes']:.1f} % of float, {'met' if r['met'] else 'missed'} |")
    return lines + [""]


def gap(row, rival, key):
    """By how much a row is worse, in words. Answers in which two networks differ are wrong in at least one of them."""
    by, n = rival[key] - row[key], row["samples"]
    if key == "sqnr_db":
        return f"{by:.2f} dB"
    most = math.sqrt(n * (2.0 - row[key] - rival[key]))
    whole = f"{round(by * n)} of {n} answers, one standard error being at most {most:.0f}"
    return whole if row["what"] == "top1" else f"{100 * by:.2f} points"


def beaten(rows, arm, rival, key):
    """In how many pairs of one size an arm is better, and where it is worse."""
    pairs = [(a, b) for a in rows for b in rows if a["kind"] == arm and b["kind"] == rival
             and a["network"] == b["network"] and a["level"] == b["level"]]
    worse = [f"{a['network']} {a['level']} by {gap(a, b, key)}" for a, b in pairs if a[key] < b[key]]
    equal = sum(a[key] == b[key] for a, b in pairs)
    words = f"better in {sum(a[key] > b[key] for a, b in pairs)} of {len(pairs)}"
    words += f", equal in {equal}" if equal else ""
    return words + (f", worse in {len(worse)} (" + ", ".join(worse) + ")" if worse else "")


def column(by_network, arm, rival, key):
    found = {n: mean_saved(rows, arm, rival, key) for n, rows in by_network.items()}
    found = {n: pair for n, pair in found.items() if pair[0] is not None}
    if not found:
        return "not measured"
    return (", ".join(f"{n} {words}" for n, (_, words) in found.items())
            + f" % ({reach([mean for mean, _ in found.values()])})")


def claims(rows, by_network, facts, sums, phases):
    """What the figures say of the claims on adaptive bit allocation (Zhou et al. 2018)."""
    lines = ["## Claims", ""]
    for arm, rival, what in PAIRS:
        lines.append(f"- Smaller at equal accuracy (D1, D2), {what}. Bytes saved at equal SQNR:"
                     f" {column(by_network, arm, rival, 'sqnr_db')}; at equal agreement:"
                     f" {column(by_network, arm, rival, 'agreement')}.")
    both = [beaten(rows, *arms, key) for arms in (("exact", "sqnr"), ("exact, activations", "sqnr, activations"))
            for key in ("sqnr_db", "agreement")]
    slope = [fact["slope_median"] for fact in facts.values()]
    return lines + [
        f"- At least as good as the SQNR allocation (D3), pairs of files of one size. Output SQNR {both[0]}; agreement"
        f" {both[1]}. With activations: output SQNR {both[2]}; agreement {both[3]}.",
        f"- Noise on the last feature map falls by {-max(slope):.1f} to {-min(slope):.1f} dB per bit, medians over the"
        f" layers of {len(slope)} networks (D4). Sum of the parts over the whole, all layers (and tensors) rounded at"
        f" once: {added_up(sums)}.",
        "- Finer set of operating points (D5): any size goes, to the byte where weights are packed; equal widths have"
        " seven.",
        f"- Measuring is done once and kept in the state file; it takes (D6) {phases_said(phases)}.", ""]


def page(rows, facts):
    """@param rows: in the order of the page, @param facts: by network."""
    watched = [r for r in rows if r["kind"] == "memory"]
    sums = [r for r in rows if "together" in r]
    phases = [r for r in rows if "phases" in r]
    every, rows = rows, [r for r in rows if "together" not in r and "phases" not in r]
    names = dict.fromkeys(r["network"] for r in rows if r not in watched)
    by_network = {n: [r for r in rows if r["network"] == n] for n in names}
    lines = [HEAD] + summary(by_network)
    for network, mine in by_network.items():
        goals = [r for r in mine if "tried" in r and r["level"] is None]
        both = [r for r in mine if r["kind"].endswith(", activations")]
        weights = [r for r in mine if r["level"] is not None and r not in both]
        lines += [f"## {network}", ""] + weights_part(weights) + activations_part(both)
        lines += slope_part(facts.get(network)) + goals_part(goals)
    lines += together_part(sums) + times_part([r for r in rows if "timed" in r]) + phases_part(phases)
    lines += memory_part(watched) + claims(rows, by_network, facts, sums, phases)
    lines += ["## Commands", "", "One per row; `$NARROW_TESTBED` is the test-bed's folder, `$NARROW_RANDOM` one of"
              " networks with random weights.", "", "```sh"]
    return "\n".join(lines + [r["command"] for r in every] + ["```"]) + "\n"
