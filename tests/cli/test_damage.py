# SPDX-License-Identifier: Apache-2.0
"""Random damage to the demo's two networks, through the real commands: an exit code, one sentence, no crash.

    test_damage.py NARROW [CASE...]

NARROW_DAMAGE sets the number of damaged copies per network (default 150); the damage is the same in every run.
"""
import json
import os
import random
import struct
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


class Planted:
    """A .nw file taken apart: single numbers of its tensors and its graph can be changed, and it stays a well-formed file."""

    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        size = struct.unpack("<Q", data[:8])[0]
        self.header, self.tensors = json.loads(data[8:8 + size]), bytearray(data[8 + size:])
        self.graph = json.loads(self.header["__metadata__"]["narrow.graph"])

    def change(self, name, index, change):
        """Applies change() to element `index` of a tensor of bytes."""
        letter = "b" if name.endswith(".weights") else "B"
        at = self.header[name]["data_offsets"][0] + index
        old = struct.unpack_from("<" + letter, self.tensors, at)[0]
        struct.pack_into("<" + letter, self.tensors, at, change(old))

    def bytes(self):
        self.header["__metadata__"]["narrow.graph"] = json.dumps(self.graph)
        text = json.dumps(self.header).encode()
        text += b" " * (-(len(text) + 8) % 64)
        return struct.pack("<Q", len(text)) + text + self.tensors


def step(weight):
    """The next weight of 8 bits towards zero, or away from it: never out of range."""
    return weight - 1 if weight > 0 else weight + 1


def planted_certificates(narrow):
    """
    Whoever alters what sums are proven from, in a file that is otherwise as it should be: limits, zero points and tables that
    contradict each other are code 4 with the tensor's or layer's name; a network that is consistent, but another one, is
    code 1 where its hash is expected.
    """
    net = quantized(narrow)
    hash_of = narrow.report("verify", net)["hash"]
    first = Planted(net).graph["nodes"][1]["name"]

    def plant(what, code, sentence, *options):
        planted = Planted(net)
        what(planted)
        path = narrow.file("planted.nw", planted.bytes())
        if code:
            narrow.bad(code, sentence, "verify", path, *options, out=None)
        else:
            narrow.good("verify", path, *options)

    def same(planted):
        planted.graph = dict(planted.graph)

    def weight(planted):  # its zero-point term is derived, so this is a network like any other
        planted.change("n1.weights", 40, step)

    def zero_point(planted):
        planted.graph["tensors"][1]["zero_point"] -= 1

    def higher_limit(planted):  # elements 0 to 2 are the input's channels
        planted.change("hi", 1, lambda hi: 255)

    def lower_limit(planted):
        planted.change("lo", 1, lambda lo: 255)

    def narrower_limit(planted):  # below what the table in front of it gives
        planted.change("hi", 0, lambda hi: hi // 2)

    def other_limit(planted):
        planted.change("hi", 8, lambda hi: hi - 1)

    def wraps(planted):
        planted.graph["nodes"][1]["accumulator"] = "16-wrap"

    plant(same, 0, "", "--expect", hash_of)
    plant(weight, 0, "")
    plant(weight, 1, "expected %s" % hash_of, "--expect", hash_of)
    plant(zero_point, 4, "input.codes.*limits leave the codes")
    plant(higher_limit, 4, "input.codes.*limits leave the codes")
    plant(lower_limit, 4, "input.codes.*limits leave the codes")
    plant(narrower_limit, 4, "cannot hold")
    plant(other_limit, 0, "")
    plant(other_limit, 1, "expected %s" % hash_of, "--expect", hash_of)
    plant(wraps, 1, "%s.*--allow-wrap accepts that" % first)


if __name__ == "__main__":
    main("test_damage", sys.argv, [damaged_onnx, damaged_nw, planted_certificates])
