# SPDX-License-Identifier: Apache-2.0
"""Opens .nw files with the safetensors package, as a stranger would, and recomputes what docs/file-format.md says about
them. Usage: open_nw.py FOLDER (every .nw in it). Exits with 77 when safetensors or numpy is missing."""
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


def check(path):
    tensors = load_file(path)
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
        assert set(file.keys()) == set(tensors)
    assert metadata["narrow.version"] == "1"
    graph = json.loads(metadata["narrow.graph"])
    assert tensors["scale"].shape == (len(graph["tensors"]),)
    for i, tensor in enumerate(graph["tensors"]):
        if tensor["type"] == "u8":
            lo, hi = tensors[f"t{i}.lo"].astype(int), tensors[f"t{i}.hi"].astype(int)
            shift = tensors.get(f"t{i}.shift", numpy.zeros(len(lo), int)).astype(int)
            z, bits = tensor["zero_point"], tensor["bits"]
            assert lo.shape == hi.shape == (tensor["dims"][1],)
            assert (z + (lo << shift) >= 0).all() and (z + (hi << shift) < 1 << bits).all()
            assert tensors["scale"][i] > 0
    rows = 0
    for i, node in enumerate(graph["nodes"]):
        if node["op"] not in ("conv", "conv_transpose"):
            continue
        weights = unpack(tensors[f"n{i}.weights"], node["weight_bits"], node["k"])
        levels = tensors.get(f"n{i}.levels")
        if levels is not None:
            assert len(levels) == 1 << (node["weight_bits"] - 1)
            weights = numpy.sign(weights) * levels.astype(int)[abs(weights)]
        z = graph["tensors"][node["inputs"][0]]["zero_point"]
        assert (tensors[f"n{i}.offset"] == -z * weights.sum(axis=1)).all(), path
        rows += len(weights)
    return rows, tensors, metadata


def main():
    paths = sorted(pathlib.Path(sys.argv[1]).glob("*.nw"))
    assert paths, "no .nw files to open"
    rows = sum(check(path)[0] for path in paths)
    assert rows > 0
    print(f"{len(paths)} files, {rows} rows of weights agree with their offsets")
    if len(sys.argv) > 2:  # saved again by the package, for the reader to accept
        _, tensors, metadata = check(paths[0])
        save_file(tensors, sys.argv[2], metadata)


main()
