# SPDX-License-Identifier: Apache-2.0
"""Random damage to the demo's two networks, through the real commands: an exit code, one sentence, no crash.

    test_damage.py NARROW [CASE...]

NARROW_DAMAGE sets the number of damaged copies per network (default 150); the damage is the same in every run.
"""
import os
import random
import sys

from narrow_cli import ONNX, check_sentence, main, quantized

COPIES = int(os.environ.get("NARROW_DAMAGE", "150"))
QUIET = {"GOMP_SPINCOUNT": "0"}


def damaged(data, generator):
    """A copy cut short (True), or with bits turned over or bytes replaced, half of the time near its beginning."""
    kind = generator.randrange(3)
    if kind == 0:
        return data[:generator.randrange(len(data))], True
    copy = bytearray(data)
    reach = generator.choice([len(copy), 3000])
    for _ in range(generator.choice([1, 1, 2, 8])):
        at = generator.randrange(reach)
        copy[at] = copy[at] ^ 1 << generator.randrange(8) if kind == 1 else generator.choice([0, 0x7f, 0x80, 0xff])
    return bytes(copy), False


def attack(narrow, data, name, commands, allowed, cut_codes):
    generator = random.Random(name)
    codes = {}
    for i in range(COPIES):
        copy, cut = damaged(data, generator)
        path = narrow.file(name, copy)
        result = narrow(commands[i % len(commands)], path, env=QUIET)
        what = "copy %d of %s: %s" % (i, name, result.err)
        assert result.code in (cut_codes if cut else allowed), "code %d, %s" % (result.code, what)
        if result.code:
            check_sentence(result.err.splitlines()[-1], what)
            assert result.code == 3 or len(result.err.splitlines()) == 1, what
        codes[result.code] = codes.get(result.code, 0) + 1
    print("        %s: %d copies, exit codes %s" % (name, COPIES, sorted(codes.items())))
    assert codes.get(4, 0) > COPIES // 3, "damage hardly ever noticed"


def damaged_onnx(narrow):
    with open(ONNX, "rb") as file:
        attack(narrow, file.read(), "x.onnx", ["inspect"], (0, 3, 4), (3, 4))


def damaged_nw(narrow):
    with open(quantized(narrow), "rb") as file:
        attack(narrow, file.read(), "x.nw", ["inspect", "verify"], (0, 1, 4), (4,))


if __name__ == "__main__":
    main("test_damage", sys.argv, [damaged_onnx, damaged_nw])
