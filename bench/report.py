# SPDX-License-Identifier: Apache-2.0
"""docs/results/speed.md from what speed.py measured: ratios only, a time of one machine says nothing about another."""
import math
import textwrap

TITLES = {"narrow": "Narrow", "narrow W8A8": "Narrow W8A8", "narrow W7A7": "Narrow W7A7",
          "onnxruntime float": "ORT float", "onnxruntime int8": "ORT int8",
          "openvino float": "OV float", "openvino int8": "OV int8", "ncnn float": "ncnn float"}
WIDTH = 120  # columns of the page's text
NOISY = 1.25  # quartiles further apart than this are marked


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


def fastest_peer(medians):
    """(arm, seconds) of the fastest that is not Narrow, or None."""
    peers = [(seconds, arm) for arm, seconds in medians.items() if not arm.startswith("narrow")]
    return min(peers)[::-1] if peers else None


def paragraphs(text):
    """The text with its paragraphs filled to WIDTH columns."""
    return "\n\n".join(textwrap.fill(part, WIDTH, break_on_hyphens=False) for part in text.strip().split("\n\n")) + "\n"


def millions(macs):
    return f"{macs / 1e6:.0f}" if macs >= 1e9 else f"{macs / 1e6:.4g}"


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def speed_table(networks, key, arms):
    """Speeds relative to the fastest peer, with the geometric mean of Narrow's columns."""
    rows, ratios = [], {arm: [] for arm in arms}
    for name, network in networks.items():
        medians = network.get(key, {}).get("medians", {})
        best = fastest_peer(medians)
        if not best:
            continue
        cells = []
        for arm in arms:
            if arm not in medians:
                cells.append("-")
                continue
            ratio = best[1] / medians[arm]
            ratios[arm].append(ratio)
            low, high = network[key]["quartiles"][arm]
            text = f"{ratio:.2f}" + ("~" if high > NOISY * low else "")
            cells.append(f"**{text}**" if arm.startswith("narrow") else text)
        rows.append([name, millions(network["macs"]), TITLES[best[0]], *cells])
    if not rows:
        return None
    own = [arm for arm in arms if arm.startswith("narrow")]

    def summary(title, value):
        return [title, "", "", *[value(ratios[arm]) if arm in own and ratios[arm] else "" for arm in arms]]

    if len(rows) > 1:
        rows.append(summary("geometric mean", lambda values: f"**{geometric_mean(values):.2f}**"))
    rows.append(summary("below 1.00", lambda values: f"{sum(v < 1 for v in values)} of {len(values)}"))
    return table(["network", "MMAC", "fastest peer", *[TITLES[arm] for arm in arms]], rows)


def roofline_table(networks, arms, words):
    """Share of the core's measured limit of the instruction family that an arm uses, one thread."""
    rows = []
    for name, network in networks.items():
        share = network.get("one_thread", {}).get("share_of_peak", {})
        if share:
            rows.append([name, *[f"{100 * share[arm]:.0f} %" if arm in share else "-" for arm in arms]])
    header = ["network", *[f"{TITLES[arm]}<br>{words[arm]}" if words.get(arm) else TITLES[arm] for arm in arms]]
    return table(header, rows) if rows else None


def check_table(networks, arms):
    rows = []
    for name, network in networks.items():
        check = network.get("check")
        if not check:
            continue
        unit = " dB" if network["task"] == "values" else " %"

        def cell(arm):
            value = check["agreement"].get(arm, "-")
            return "-" if value == "-" else "not finite" if value is None else f"{value:.1f}{unit}"

        cells = ["reference" if arm == check["reference"] else cell(arm) for arm in arms]
        rows.append([name, str(check["samples"]), *cells])
    return table(["network", "samples", *[TITLES[arm] for arm in arms]], rows) if rows else None


def left_out(networks):
    lines = []
    for name, network in networks.items():
        for arm, sentence in sorted(network.get("failed", {}).items()):
            lines.append(f"- {name}, {TITLES.get(arm, arm)}: {sentence}")
    return lines


def openvino_kernels(networks, key):
    """Kernels OpenVINO reports for convolutions and matrix products, over all networks: {arm: [(kernel, count)]}."""
    totals = {}
    for network in networks.values():
        for arm, counts in network.get(key, {}).get("details", {}).items():
            if arm.startswith("openvino") and counts:
                total = totals.setdefault(arm, {})
                for kernel, count in counts.items():
                    total[kernel] = total.get(kernel, 0) + count
    return {arm: sorted(total.items(), key=lambda item: -item[1]) for arm, total in totals.items()}


def narrow_kernels(networks, key):
    """{arm: {isa: {kernel: mean share of the multiply-accumulates}}} over all networks."""
    totals = {}
    for network in networks.values():
        for arm, detail in network.get(key, {}).get("details", {}).items():
            if arm.startswith("narrow") and detail:
                shares = totals.setdefault(arm, {}).setdefault(detail["isa"], {})
                for kernel, share in detail["kernels"].items():
                    shares.setdefault(kernel, []).append(share)
    count = max(1, sum("one_thread" in network for network in networks.values()))

    def means(shares):
        return {kernel: sum(values) / count for kernel, values in shares.items()}

    return {arm: {isa: means(shares) for isa, shares in by_isa.items()} for arm, by_isa in totals.items()}


def what_ran(result, key="one_thread"):
    networks, sets = result["networks"], ", ".join(result["machine"]["instruction_sets"])
    lines = []
    for arm, by_isa in narrow_kernels(networks, key).items():
        for isa, shares in by_isa.items():
            largest = sorted(shares.items(), key=lambda item: -item[1])[:6]
            kernels = ", ".join(f"`{name}` {100 * share:.0f} %" for name, share in largest)
            lines.append(f"- {TITLES[arm]}: `{isa}` (mean share of the multiply-accumulates: {kernels}).")
    for arm, kernels in openvino_kernels(networks, key).items():
        lines.append(f"- {TITLES[arm]}, as it reports for its convolutions and matrix products: "
                     + ", ".join(f"`{name}` {count}" for name, count in kernels[:6]) + ".")
    if key == "one_thread":
        lines.append(f"- ONNX Runtime and ncnn choose at run time from what the CPU offers ({sets}) and do not tell.")
    return lines


INTRODUCTION = """# Speed beside the runtimes people use

Written by `make bench-speed`. **Every row holds ratios measured in one run on one machine; absolute times say nothing
about another.** Machine: {cpu}, {sets}; {cores} cores in use. Versions: {versions}.

All tools run the same networks on the same samples, batch 1. The peers' int8 networks come from their own quantizers
with the same {samples} calibration samples: ONNX Runtime's static quantization (QDQ, per channel{reduced}), OpenVINO's
NNCF (mixed preset); ncnn runs in float. Narrow: `narrow quantize` with its defaults (W8A8), and as a second arm
`--weights 7 --acts 7` (W7A7), the widths at which sums fit 16 bits on AVX2; the peers have no such width, so that arm
trades one bit for time.

Narrow runs in `libnarrow.so`, float values in and out. Each tool is called through the leanest call of its Python
binding, Narrow through ctypes: some microseconds a call, which weigh on the smallest networks. Networks named *-random
have random weights: speed only.
"""

REDUCED = """, weights of 7 bits as its documentation advises for CPUs without VNNI, where its products of two
saturate"""

ONE_THREAD = """## One thread

All arms in one process, taking turns in an order shuffled every round, pinned to one core; medians of {rounds} turns
({slow} for networks over 50 ms). A figure is the speed relative to the fastest of all peers' arms, int8 and float:
1.00 is as fast, more is faster; "~" marks times whose quartiles lie more than a quarter apart (the machine was busy).
"""

TWO_THREADS = """## Two threads

Each arm in a process of its own, the processes taking turns on the same two cores (thread pools spin and would steal
the other's core).
"""

CAPPED = """## One thread, capped to AVX2

Narrow with `NARROW_ISA=avx2` against OpenVINO with `ONEDNN_MAX_CPU_ISA=AVX2` (ONNX Runtime and ncnn have no such
switch). There OpenVINO adds two products with saturation at 16 bits; Narrow's sums are exact.
"""

ROOFLINE = """## Share of the core's arithmetic limit

Multiply-accumulates per second over what the core can do with the instruction family named, all operands in registers
(`bench/peak.c`, measured in the same run; where rows come from several runs, the highest of these peaks, so that shares
of runs at a lower clock are understated): {peaks}.

Multiply-accumulates are those of the network's definition: a tool that computes a convolution with fewer of them
(Winograd's: ncnn in float, Narrow in integers, exactly) can exceed 100 %, and so can Narrow's sums in 16 bits, wherever
they are proven safe.
"""

WHAT_RAN = "## What each tool ran"

CHECK = """## Are the answers right?

Agreement with the float network on test samples: equal largest output (per pixel for maps), or for networks of real
values the signal-to-noise ratio. This is a sanity check of what was timed, not an accuracy table.
"""


def sections(result):
    """(text, body) of each section; body None where nothing was measured."""
    networks, arms, peaks = result["networks"], result["arms"], result["peaks"]
    relative = max((peak["gmacs"] for peak in peaks.values()), default=1)
    words = {arm: peaks[key]["words"] for arm, key in result["families"].items() if key in peaks}
    limits = "; ".join(f"{peak['words']} {peak['gmacs'] / relative:.2f}" for peak in peaks.values())
    capped = [arm for arm in arms if arm.split()[0] in ("narrow", "openvino")]
    ran = what_ran(result) + [line.replace("- ", "- capped: ", 1) for line in what_ran(result, "capped")]
    return [(ONE_THREAD.format(rounds=result["rounds"], slow=result["slow_rounds"]),
             speed_table(networks, "one_thread", arms)),
            (TWO_THREADS, speed_table(networks, "two_threads", arms)),
            (CAPPED, speed_table(networks, "capped", capped)),
            (ROOFLINE.format(peaks=f"relative to the fastest, {limits}"), roofline_table(networks, arms, words)),
            (WHAT_RAN, "\n".join(ran)),
            (CHECK, check_table(networks, arms)),
            ("## Not measured", "\n".join(left_out(networks)) or None)]


def markdown(result):
    """The whole page."""
    machine = result["machine"]
    introduction = INTRODUCTION.format(
        cpu=machine["cpu"], sets=", ".join(machine["instruction_sets"]), cores=machine["cores"],
        versions=", ".join(f"{name} {version}" for name, version in machine["versions"].items()),
        samples=result["calibration_samples"], reduced=REDUCED if result["reduced_range"] else "")
    parts = [paragraphs(introduction)]
    parts += [f"{paragraphs(text)}\n{body}\n" for text, body in sections(result) if body]
    return "\n".join(parts)
