#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What single kernels reach, and what measured choices gain: docs/results/kernels.md and kernels.json.

    python3 bench/kernels.py [--build build] [--random FOLDER] [--work FOLDER] [--stages LIST] [--prefix "taskset -c 1"]

Stages: `arrangements` (kernelcheck --bench-json: every way to sum products in 16 bits beside the core's limits; needs a
build with tests), `winograd` (kernelcheck --bench-winograd: 3 x 3 layers in both ways), `arm` (tests/cross/neon_instructions.py on a cross build: instructions counted, nothing timed) and
`tuned` (`narrow tune` on networks quantized at 8 bits, one thread, for every kernel family in FAMILIES that this CPU
has). FOLDER of --random holds *-random.onnx. Stages that are not asked for keep what kernels.json has.
"""
import argparse
import json
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile

import sums

FAMILIES = ["avx2", "avx512", "avx512vnni"]
NETWORKS = ["resnet20-cifar10", "resnet56-cifar10", "mobilenetv2-cifar10", "mobilenetv1-0.25-imagenet",
            "resnet50-random"]
SHOWN = ["int32 sums", "runs of 2", "runs of 4", "runs of 8", "runs of 32", "units of 1", "units of 4", "all wide"]
STAGES = ["arrangements", "winograd", "arm", "tuned"]
PROCESSES = 7  # that time arrangements: another's work on the same core can last as long as one
LEAST_K = 288  # shorter sums are mostly requantization


def command(words, **options):
    done = subprocess.run(words, check=False, capture_output=True, text=True, **options)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def arrangements(arguments):
    """A row per family and K, as kernelcheck prints them: medians over several processes, and each process's ratios."""
    words = shlex.split(arguments.prefix) + [f"{arguments.build}/tests/kernels/kernelcheck", "--bench-json"]
    runs = [[json.loads(line) for line in command(words).splitlines()] for _ in range(PROCESSES)]
    rows = runs[0]
    for i, row in enumerate(rows):
        row["limit16_over_limit32"] = statistics.median(run[i]["limit16_over_limit32"] for run in runs)
        for name, form in row["forms"].items():
            seen = {key: [run[i]["forms"][name][key] for run in runs] for key in form}
            row["forms"][name] = {key: statistics.median(values) for key, values in seen.items()}
            row["forms"][name]["ratios"] = sorted(seen["ratio"])
    return rows


def winograd(arguments):
    """A row per family and shape, medians over several processes."""
    words = shlex.split(arguments.prefix) + [f"{arguments.build}/tests/kernels/kernelcheck", "--bench-winograd"]
    runs = [[json.loads(line) for line in command(words).splitlines()] for _ in range(PROCESSES)]
    return [{**row, "ratio": statistics.median(run[i]["ratio"] for run in runs)} for i, row in enumerate(runs[0])]


def arm(arguments):
    """Instructions per 256 products in the loops of the Armv8.0 kernels."""
    build = pathlib.Path(arguments.build) / "aarch64"
    command(["cmake", "-S", sums.ROOT, "-B", build, f"-DCMAKE_TOOLCHAIN_FILE={sums.ROOT}/cmake/aarch64.cmake",
             "-DNARROW_KERNELS_ONLY=ON", "-DCMAKE_BUILD_TYPE=Release"])
    command(["cmake", "--build", build, "--parallel", "2", "--target", "nw_kernels"])
    return json.loads(command([sys.executable, sums.ROOT / "tests" / "cross" / "neon_instructions.py", "--json",
                               build / "src/kernels/CMakeFiles/nw_kernels.dir/neon/gemm_tile.c.o"]))


def tuned(arguments):
    """A row per network and family: what `narrow tune` chose, and its gain in the rounds that judge."""
    rows = []
    told = json.loads(command([arguments.narrow, "cpu", "--json"]))
    here = [f["name"] for f in told["families"] if f["available"]]
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or temporary
        for name in NETWORKS:
            network = sums.Network(name, arguments, work)
            network.calib = network.calib.replace("--samples 500", f"--samples {sums.QUICK}")  # only timed
            if not network.onnx.exists():
                print(f"SKIP: {network.onnx} is missing", file=sys.stderr)
                continue
            for isa in (f for f in FAMILIES if f in here):
                words = f"tune {network.form('8x8')} --table {work}/table.json --threads 1 --json"
                told = sums.run(arguments.narrow, words, arguments.prefix, isa)
                rows.append({"network": name, "isa": isa,
                             "layers": [f"{c['isa']} {c['arrangement']}" for c in told["layers"]],
                             "layers_gain": round(told["layers_gain"], 3), "fusion": told["fusion"],
                             "fusion_gain": round(told["fusion_gain"], 3),
                             "others": {f"{c['isa']} {c['arrangement']}": round(c["ratio"], 3)
                                        for c in told["layer_candidates"][1:]}})
                print(rows[-1], file=sys.stderr)
    return rows


def table(header, rows):
    lines = ["| " + " | ".join(row) + " |" for row in [header] + rows]
    return lines[:1] + ["|" + "---|" * len(header)] + lines[1:]


def least(rows, form, process=PROCESSES // 2):
    """Of a form's ratios the least: of the median process, or of another by its place from the slowest."""
    return min(forms[form]["ratios"][process] for forms in rows)


def arrangement_lines(rows):
    lines = ["", "## Arrangements of sums", "",
             "`kernelcheck --bench-json`: a 3 x 3 convolution of K / 9 channels to 32 over 32 pixels, requantization"
             " included; all arrangements and the bare limits take turns in one process, medians of 41 rounds, and of"
             f" {PROCESSES} processes; ratios of times. *int32 sums* add every product in 32 bits; *runs of n* add n steps in"
             " 16 bits, *units* do so with bytes in other pairs, *all wide* widens every step (docs/architecture.md). A limit is that of the"
             " instructions alone, operands in registers."]
    for family in dict.fromkeys(row["family"] for row in rows):
        own = [row for row in rows if row["family"] == family]
        lines += ["", f"{family}: time of int32 sums over that of each arrangement, and int32 sums' share of their limit.",
                  ""]
        lines += table(["K", "int32 sums, of the limit"] + SHOWN[1:],
                       [[str(row["k"]), f"{100 * row['forms']['int32 sums']['share32']:.0f} %"] +
                        [f"{row['forms'][form]['ratio']:.2f}" for form in SHOWN[1:]] for row in own])
        long = [row["forms"] for row in own if row["k"] >= LEAST_K]
        share = min(forms["int32 sums"]["share32"] for forms in long)
        lines += ["", f"Least of K >= {LEAST_K}: int32 sums at {100 * share:.0f} % of their limit, runs of 8"
                  f" {least(long, 'runs of 8'):.2f} and runs of 32 {least(long, 'runs of 32'):.2f} times as fast (least of any"
                  f" process, on a shared machine, {least(long, 'runs of 8', 0):.2f} and {least(long, 'runs of 32', 0):.2f})."
                  " 16-bit sums have"
                  f" {max(row['limit16_over_limit32'] for row in own):.2f} times the limit of int32 sums."]
    return lines


def winograd_lines(rows):
    families = list(dict.fromkeys(row["family"] for row in rows))
    shapes = list(dict.fromkeys((row["channels"], row["size"]) for row in rows))
    ratios = {(row["family"], row["channels"], row["size"]): row["ratio"] for row in rows}
    lines = ["", "## Winograd's convolution", "",
             "`kernelcheck --bench-winograd`: a 3 x 3 layer of stride 1, 8 bits, as many channels out as in: time of the"
             " products of windows over that of Winograd's convolution, which gives the same bytes; taking turns, medians of"
             f" {PROCESSES} processes. The loader leaves out what is near 1 or below, and with AVX-512 VNNI pictures of 14 and less, whose weights"
             " come from behind L2 in a whole network. The limit, before transforms: 2 with VNNI, whose"
             " instruction takes half as many words as bytes; 4 by products against an AVX2 that adds all in 32 bits, some 3"
             " against one with runs of 16 bits. Pictures of 14 and 7 lie in tiles of 16 and 8, and few pixels meet four"
             " times as many weights of twice the size.", ""]
    return lines + table(["channels, picture"] + families,
                         [[f"{c}, {size} x {size}"] + [f"{ratios[family, c, size]:.2f}" for family in families]
                          for c, size in shapes])


def arm_lines(rows):
    lines = ["", "## 64-bit Arm", "",
             "Counted in the compiled loops of a tile of 4 pixels by 4 rows, 16 products of each pair a step (nothing timed:"
             " no such core was at hand). In 32 bits a step is `smull`, `smlal2`, `sadalp`; in a run `smlal`, `smlal2`, and"
             " the fold once a run. *Shifted*: codes above 127 are made signed on the way.", ""]
    return lines + table(["codes", "instructions per product, in 32 bits", "in a run", "ratio", "runs of 8, with fold",
                          "runs of 32, with fold"],
                         [["shifted" if row["shifted"] else "as they are", f"{row['single'] / row['products']:.3f}",
                           f"{row['step'] / row['products']:.3f}", f"{row['step'] / row['single']:.2f}",
                           f"{row['runs_of_8'] / row['single']:.2f}", f"{row['runs_of_32'] / row['single']:.2f}"]
                          for row in rows])


def chosen(layers):
    return ", ".join(f"{layers.count(way)} {way}" for way in dict.fromkeys(layers)) or "none"


def tuned_lines(rows):
    lines = ["", "## Measured choices", "",
             "`narrow tune` at 8 bits, one thread: gain over the defaults in the rounds that had not chosen; 1: nothing gained"
             " 1 % (layers) or 3 % (fusion) in both halves. *All layers otherwise*: time of the defaults over that with all"
             " layers so.", ""]
    return lines + table(["network", "family", "layers chosen", "gain", "fusion", "gain", "all layers otherwise"],
                         [[row["network"], row["isa"], chosen(row["layers"]),
                           f"{row['layers_gain']:.2f}", row["fusion"], f"{row['fusion_gain']:.2f}",
                           ", ".join(f"{way} {ratio:.2f}" for way, ratio in row["others"].items())] for row in rows])


def write(results):
    (sums.RESULTS / "kernels.json").write_text(json.dumps(results, indent=1) + "\n")
    lines = ["# Kernels", "", "Written by `make bench-kernels` (`bench/kernels.py`), on an AMD Zen 5, one thread. Ratios of"
             " one run each; another core has others."]
    for stage, make in (("arrangements", arrangement_lines), ("winograd", winograd_lines), ("arm", arm_lines), ("tuned", tuned_lines)):
        if results.get(stage):
            lines += make(results[stage])
    (sums.RESULTS / "kernels.md").write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--random", default="", help="folder of *-random.onnx")
    parser.add_argument("--work", default="", help="folder for the quantized networks, kept; default: a temporary one")
    parser.add_argument("--stages", default=",".join(STAGES))
    parser.add_argument("--prefix", default="", help="before every command that is timed")
    arguments = parser.parse_args()
    arguments.narrow = f"{arguments.build}/narrow"
    path = sums.RESULTS / "kernels.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    for stage in arguments.stages.split(","):
        results[stage] = {"arrangements": arrangements, "winograd": winograd, "arm": arm, "tuned": tuned}[stage](arguments)
        write(results)


if __name__ == "__main__":
    main()
