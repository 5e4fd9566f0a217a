#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Instructions per multiply-accumulate of the Armv8.0 matrix product, counted in the compiled loops.

    neon_instructions.py [--json] gemm_tile.c.o

The form in 16-bit runs must need at most 0.80 of what smull, smlal2, sadalp needs per product: exit code 1 otherwise.
"""
import json
import re
import subprocess
import sys

LIMIT = 0.80
MULTIPLIES = {"smull", "smull2", "smlal", "smlal2"}  # 8 products each


def functions(path):
    text = subprocess.run(["aarch64-linux-gnu-objdump", "-d", "--no-show-raw-insn", path], check=True,
                          capture_output=True, text=True).stdout
    for block in re.split(r"\n\n", text):
        name = re.match(r"\n?[0-9a-f]+ <(\w+)>:", block)
        if name:
            lines = re.findall(r"^\s+([0-9a-f]+):\s+(\S+)(.*)$", block, re.M)
            yield name[1], [(int(address, 16), op, rest) for address, op, rest in lines]


def loops(code):
    """(first, last) address of every backward branch."""
    for address, op, rest in code:
        target = re.search(r"([0-9a-f]+) <", rest)
        if op.startswith("b.") and target and int(target[1], 16) <= address:
            yield int(target[1], 16), address


def body(code, loop):
    return [op for address, op, _ in code if loop[0] <= address <= loop[1]]


def products(ops):
    return 8 * sum(op in MULTIPLIES for op in ops)


def main():
    code = dict(functions(sys.argv[-1]))
    rows = []
    for name in ("4", "4_shifted"):
        runs = code["runs_" + name]
        inner = min(loops(runs), key=lambda l: l[1] - l[0])
        outer = max(loops(runs), key=lambda l: l[1] - l[0])
        step = body(runs, inner)
        around = len(body(runs, outer)) - len(step)  # first step and fold
        tile = code["tile_" + name]
        single = next(ops for ops in (body(tile, l) for l in sorted(loops(tile))) if "smlal2" in ops)
        single = [op for op in single if op != "mov"]  # the compiler's, none of the form's
        assert products(step) == products(single) == 256 and "sadalp" in single and "sadalp" not in step
        rows.append({"shifted": name == "4_shifted", "products": 256, "single": len(single), "step": len(step),
                     "runs_of_8": (around + 7 * len(step)) / 8, "runs_of_32": (around + 31 * len(step)) / 32})
    if sys.argv[1] == "--json":
        print(json.dumps(rows))
    for row in [] if sys.argv[1] == "--json" else rows:
        single = row["single"]
        kind = "shifted" if row["shifted"] else "as they are"
        print(f"codes {kind}: {single} instructions per 256 products in 32 bits, {row['step']} in a run, ratio "
              f"{row['step'] / single:.2f}; with a run's first step and fold, runs of 8 {row['runs_of_8'] / single:.2f}, "
              f"of 32 {row['runs_of_32'] / single:.2f}")
    return max(row["step"] / row["single"] for row in rows) > LIMIT


if __name__ == "__main__":
    sys.exit(main())
