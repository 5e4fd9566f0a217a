# SPDX-License-Identifier: Apache-2.0
"""Opens .nw files with the safetensors package, as a stranger would, and recomputes what docs/file-format.md says about
them. Usage: open_nw.py FOLDER (every .nw in it, its offsets beside it). Exits with 77 when safetensors or numpy is missing."""
import bisect
import collections
import json
import pathlib
import sys

try:
    import numpy
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file
except ImportError as missing:
    print(f"SKIP: {missing}; set NARROW_PYTHON to a Python that has safetensors and numpy")
    sys.exit(77)


def unpack(rows, bits, k):
    """[n_rows, bytes] U8 -> [n_rows, k] weights."""
    stream = numpy.unpackbits(rows, axis=1, bitorder="little")
    assert not stream[:, k * bits:].any(), "bits behind the end of a row"
    codes = (stream[:, : k * bits].reshape(len(rows), k, bits) << numpy.arange(bits)).sum(axis=2)
    return 1 - 2 * codes if bits == 1 else (codes ^ 1 << (bits - 1)) - (1 << (bits - 1))


class BitReader:
    """The range coder of coded weights."""

    def __init__(self, data):
        self.data, self.at, self.range, self.code = bytes(data), 4, (1 << 32) - 1, int.from_bytes(data[:4], "big")

    def bit(self, one=1 << 15):
        bound = (self.range >> 16) * one
        bit = self.code < bound
        if bit:
            self.range = bound
        else:
            self.range -= bound
            self.code -= bound
        while self.range < 1 << 24:
            self.range, self.code, self.at = self.range << 8, self.code << 8 | self.data[self.at], self.at + 1
        return bit

    def counted(self, context):
        fast, slow = context
        bit = self.bit((fast + slow) >> 1)
        context[:] = (fast + ((65535 - fast) >> 4), slow + ((65535 - slow) >> 7)) if bit else (fast - (fast >> 4), slow - (slow >> 7))
        return bit


def decode(data, n_rows, k, period):
    """[bytes] U8 -> [n_rows, k] values."""
    reader, contexts, mean = BitReader(data), collections.defaultdict(lambda: [1 << 15, 1 << 15]), 16
    values = numpy.zeros((n_rows, k), int)
    for row in range(n_rows):
        for j in range(k):
            near = (abs(values[row - 1, j]) if row else 0) + (abs(values[row, j - period]) if j >= period else 0)
            where = (0 if near == 0 else 1 if near < 3 else 2, bisect.bisect([1, 2, 3, 4, 6, 8, 12, 16, 24, 40, 72], (2 * mean + 8) >> 4))
            length = 0
            while length < 7 and reader.counted(contexts[where, length]):
                length += 1
            known = min(length, 1)
            for _ in range(length - 1):
                known = known << 1 | (reader.counted(contexts[length, known]) if known < 4 else reader.bit())
            mean = (15 * mean + 16 * known + 8) >> 4
            values[row, j] = -known if known and reader.bit() else known
    assert reader.at == len(data), "bytes left over"
    return values


class Shared:
    """The arrays that tensors and nodes share, read from their beginnings on."""

    def __init__(self, tensors):
        self.arrays = {name: array for name, array in tensors.items() if "." not in name}

    def take(self, name, n):
        taken, self.arrays[name] = self.arrays[name][:n], self.arrays[name][n:]
        assert len(taken) == n, f"{name} is too short"
        return taken

    def close(self):
        assert all(len(array) == 0 for array in self.arrays.values()), "entries that nothing uses"


def check_tensor(tensor, shared, shifted):
    """Takes the entries of one u8 tensor: its codes fit its width."""
    z, bits, channels = tensor.get("zero_point", 0), tensor.get("bits", 8), tensor["dims"][1]
    lo = -shared.take("lo", channels).astype(int) if z else numpy.zeros(channels, int)
    hi = shared.take("hi", channels).astype(int)
    shift = shared.take("shift", channels).astype(int) if shifted else numpy.zeros(channels, int)
    assert (z + (lo << shift) >= 0).all() and (z + (hi << shift) < 1 << bits).all()
    assert shared.take("scale", 1)[0] > 0


def expand(nodes):
    """Nodes with the keys that are left out where they say nothing new."""
    before = 0
    for node in nodes:
        node = {"inputs": [before], "output": before + 1, "kernel": [1, 1], "groups": 1, "weight_bits": 8, **node}
        before = node["output"]
        yield node


def weights_of(i, node, x, n_channels, tensors):
    """[R, k] integers."""
    bits, k = node["weight_bits"], node["kernel"][0] * node["kernel"][1] * x["dims"][1] // node["groups"]
    rows, stored = node.get("rows", n_channels), tensors[f"n{i}.weights"]
    if node.get("storage") == "coded":
        assert stored.ndim == 1
        weights = decode(stored, rows, k, x["dims"][1] // node["groups"])
        assert abs(weights).max() < 1 << (bits - 1)
    else:
        assert stored.shape == (rows, (k * bits + 7) // 8)
        weights = unpack(stored, bits, k)
    levels = tensors.get(f"n{i}.levels")
    if levels is None:
        return weights
    assert len(levels) == 1 << (bits - 1)
    return numpy.sign(weights) * levels.astype(int)[abs(weights)]


def check(path):
    tensors = load_file(path)
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
        assert set(file.keys()) == set(tensors)
    assert metadata["narrow.version"] == "1"
    graph, shared, rows = json.loads(metadata["narrow.graph"]), Shared(tensors), 0
    lines = path.with_suffix(".offsets").read_text(encoding="ascii").splitlines()
    offsets = {(int(node), int(row)): int(offset) for node, row, offset in map(str.split, lines)}
    is_u8 = ["type" not in tensor for tensor in graph["tensors"]]
    for tensor in (tensor for tensor, u8 in zip(graph["tensors"], is_u8) if u8):
        check_tensor(tensor, shared, "shift" in tensors)
    for bits in graph.get("codes", []):
        lengths = shared.take("code_length", (1 << bits) // 2)
        lengths = numpy.stack([lengths & 15, lengths >> 4], axis=1).reshape(-1).astype(int)
        assert lengths.min() >= 1 and lengths.max() <= 11 and (1 << (11 - lengths)).sum() == 1 << 11
    for i, node in enumerate(expand(graph["nodes"])):
        x, y = graph["tensors"][node["inputs"][0]], graph["tensors"][node["output"]]
        channels = y["dims"][1]
        if node["op"] in ("conv", "conv_transpose"):
            weights = weights_of(i, node, x, channels, tensors)
            shared.take("multiplier", len(weights))
            if len(node["inputs"]) == 2:
                shared.take("multiplier", channels)
            assert numpy.isfinite(shared.take("bias", channels)).all()
            if len(weights) > channels:
                extra = shared.take("row_channel", len(weights) - channels)
                assert (extra >= 0).all() and (extra < channels).all()
            offset = -x.get("zero_point", 0) * weights.sum(axis=1)
            assert [offsets[i, row] for row in range(len(weights))] == offset.tolist(), path
            rows += len(weights)
        elif node["op"] == "average_pool" or (node["op"] in ("mul", "add") and is_u8[node["output"]]):
            shared.take("multiplier", channels * (2 if node["op"] == "add" else 1))
    shared.close()
    assert rows == len(offsets)
    return rows, tensors, metadata


def main():
    paths = sorted(pathlib.Path(sys.argv[1]).glob("*.nw"))
    assert paths, "no .nw files to open"
    rows = sum(check(path)[0] for path in paths)
    coded = sum(b'\\"storage\\":\\"coded\\"' in path.read_bytes() for path in paths)
    assert rows > 0 and coded > 3
    print(f"{len(paths)} files, {coded} of them coded, {rows} rows of weights agree with their offsets")
    if len(sys.argv) > 2:  # saved again by the package, for the reader to accept
        _, tensors, metadata = check(paths[0])
        save_file(tensors, sys.argv[2], metadata)


main()
