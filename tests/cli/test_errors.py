# SPDX-License-Identifier: Apache-2.0
"""What goes wrong ends with its exit code and one sentence, leaves no partial file and keeps the old one.

    test_errors.py NARROW [CASE...]
"""
import os
import resource
import signal
import sys

import made_files as made
from narrow_cli import CALIB, ONNX, PICTURE, PREPROCESS, TEST, check_sentence, main, quantized

QUANTIZE = ["--calib", CALIB, "--preprocess", PREPROCESS, "--samples", "2"]


# ---- code 2 ----

def usage(narrow):
    result = narrow()
    assert result.code == 2 and "quantize" in result.err and not result.out
    net = quantized(narrow)
    rows = [
        (["quantise"], "quantise: no such command; see `narrow --help`"),
        (["--json"], "--json: no such command"),
        ([""], ": no such command"),
        (["quantize"], "needs ONNX OUT"),
        (["quantize", ONNX], "needs ONNX OUT"),
        (["quantize", ONNX, "o.nw"], "needs --calib"),
        (["quantize", ONNX, "o.nw", "more"], "more: one argument too many"),
        (["quantize", ONNX, "o.nw", "--calib", CALIB, "--layer-bits", "conv"], '"conv": must be EXPRESSION=BITS'),
        (["quantize", ONNX, "o.nw", "--calib", CALIB, "--weights", "2", "--weight-book", "flint"], "no codes of 2 bits"),
        (["quantize", ONNX, "o.nw", "--weight-book", "auto", "--target-size", "50%"] + QUANTIZE, "for one kind of values"),
        (["quantize", ONNX, "o.nw", "--calib", CALIB, "--layer-bits", "(=4"], "no regular expression"),
        (["quantize", ONNX, "o.nw", "--calib", CALIB, "--preprocess", PREPROCESS, "--samples", "2", "--tensor-bits",
          "nobody=4"], "nobody"),
        (["quantize", ONNX, "o.nw", "--calib"], "--calib needs a value"),
        (["quantize", ONNX, "o.onnx"] + QUANTIZE, "o.onnx: the output is a .nw file"),
        (["quantize", ONNX, "o.nw", "--weights", "9"] + QUANTIZE, "from 1 to 8"),
        (["quantize", ONNX, "o.nw", "--acts", "0"] + QUANTIZE, "from 1 to 8"),
        (["quantize", ONNX, "o.nw", "--range", "widest"] + QUANTIZE, "--range widest: no such choice"),
        (["quantize", ONNX, "o.nw", "--weight-range", ""] + QUANTIZE, "--weight-range : no such choice"),
        (["quantize", ONNX, "o.nw", "--bias-correction=all"] + QUANTIZE, "--bias-correction all: no such choice"),
        (["quantize", ONNX, "o.nw", "--seed", "-1"] + QUANTIZE, "--seed -1: not a whole number"),
        (["quantize", ONNX, "o.nw", "--threads", "257"] + QUANTIZE, "--threads: at most 256"),
        (["quantize", ONNX, "o.nw", "--calib", CALIB], "holds pictures, and nothing says how they are normalised"),
        (["eval", net], "needs --data"),
        (["eval"], "needs MODEL"),
        (["eval", ONNX, "--data", TEST, "--count-overflows", "--preprocess", PREPROCESS],
         "--count-overflows needs a .nw file"),
        (["eval", net, "--data", TEST, "--limit", "3x"], "--limit 3x: not a whole number"),
        (["eval", net, "--data", TEST, "--limit", "99999999999999999999"], "not a whole number"),
        (["eval", net, "--data", TEST, "--json=yes"], "--json takes no value"),
        (["eval", net, "--data", TEST, "--no-data"], "--no-data: no such option"),
        (["eval", net, "--data", TEST, "-j"], "-j: one argument too many"),
        (["eval", net, "--data", os.path.join(TEST, "ring")], "has no labels; give --labels"),
        (["eval", net, "--data", TEST, "--threads", "9223372036854775807"], "--threads: at most 256"),
        (["run", net], "needs MODEL INPUT"),
        (["run", net, PICTURE, "--top", "0"], "--top: at least 1"),
        (["run", net, TEST], "holds 1080 samples; `narrow run` answers for one"),
        (["run", net, PICTURE, "--std", "0"], "std: "),
        (["run", net, PICTURE, "--mean", "red"], "mean: "),
        (["run", net, PICTURE, "--size", "0x32"], "size: "),
        (["run", net, PICTURE, "--size", "999999999x2"], "size: "),
        (["run", net, PICTURE, "--resize", "stretch"], "resize: "),
        (["run", net, PICTURE, "--interpolation", "cubic"], "interpolation: "),
        (["run", net, PICTURE, "--crop", "left"], "crop: "),
        (["run", net, PICTURE, "--channel-order", "CMYK"], "channel_order: "),
        (["run", net, PICTURE, "--class-offset", "1.5"], "class_offset: "),
        (["bench", ONNX], "times a .nw file"),
        (["bench", net, "--float", net], "--float .*must be an .onnx file"),
        (["bench", net, "--runs", "0"], "--runs: from 1 to"),
        (["bench", net, "--threads", "257"], "--threads: at most 256"),
        (["bench", net, "--activation-storage", "tight"], "--activation-storage tight: must be bytes, packed, coded or huffman"),
        (["bench", net, "--fuse", "all"], "--fuse all: must be none, fast or small"),
        (["bench", net, "--table", "t.json"], "--table needs --tuned"),
        (["tune", ONNX], "measures a .nw file"),
        (["tune", net, "--rounds", "9"], "--rounds: from 10 to"),
        (["bench", net, "--arena-budget", "9", "--activation-storage", "packed"], "--arena-budget needs"),
        (["verify", net, "--activation-storage", "4"], "--activation-storage 4: must be bytes, packed, coded or huffman"),
        (["inspect", ONNX, net], "one argument too many"),
        (["verify"], "needs MODEL"),
        (["verify", net, "--expect"], "--expect needs a value"),
        (["cpu", "x"], "x: one argument too many"),
    ]
    for arguments, pattern in rows:
        narrow.bad(2, pattern, *arguments)


# ---- code 3 ----

def unsupported_operators(narrow):
    """All nodes that are not supported, in one listing, each by name and operator; then one sentence."""
    nodes = [("Frobnicate", ["x"], ["a"], {}), ("Relu", ["a"], ["b"], {}), ("Einsum", ["b"], ["c"], {"equation": "a"}),
             ("LSTM", ["c", "w", "w"], ["y"], {"hidden_size": 4})]
    path = narrow.file("odd.onnx", made.onnx(nodes, {"x": ["N", 3, 8, 8]}, {"y": ["N", 3, 8, 8]},
                                             {"w": ([1, 4], [0.0] * 4)}))
    for arguments in (["inspect", path], ["quantize", path, "o.nw"] + QUANTIZE,
                      ["eval", path, "--data", TEST, "--preprocess", PREPROCESS],
                      ["run", path, PICTURE, "--preprocess", PREPROCESS]):
        result = narrow.bad(3, "odd.onnx", *arguments, lines=0)
        listing = result.err
        for node, op in (("frobnicate_0", "Frobnicate"), ("einsum_2", "Einsum"), ("lstm_3", "LSTM")):
            assert any(node in line and op in line for line in listing.splitlines()), listing
        assert "relu_1" not in listing and len(listing.splitlines()) <= 5, listing
    path = narrow.file("old.onnx", made.onnx(nodes[1:2], {"a": [1, 3, 8, 8]}, {"b": [1, 3, 8, 8]}, opset=3))
    narrow.bad(3, "opset", "inspect", path, lines=0)


# ---- code 4: models ----

def damaged_models(narrow):
    net = quantized(narrow)
    folder = os.path.join(narrow.folder, "folder.onnx")
    os.mkdir(folder)
    os.mkdir(os.path.join(narrow.folder, "folder.nw"))
    with open(ONNX, "rb") as file:
        onnx = file.read()
    with open(net, "rb") as file:
        nw = file.read()
    wrong = {
        "empty": (b"", b""), "short": (onnx[:5000], nw[:5000]), "long": (onnx + b"\xff", nw + b"\0"),
        "text": (b"not a network\n", b"not a network\n"), "png": (made.png(2, 2, b"0" * 12),) * 2, "other": (nw, onnx),
        "zeros": (bytes(300), bytes(300)), "header": (b"\x3a\xff\xff\xff\xff\x0f" + onnx, b"\xff" * 8 + nw[8:]),
    }
    for name, (a, b) in wrong.items():
        a, b = narrow.file(name + ".onnx", a), narrow.file(name + ".nw", b)
        for arguments in (["inspect", a], ["quantize", a, "o.nw"] + QUANTIZE, ["run", a, PICTURE],
                          ["eval", a, "--data", TEST], ["inspect", b], ["verify", b], ["run", b, PICTURE],
                          ["bench", b], ["eval", net, "--data", TEST, "--against", b]):
            narrow.bad(4, name + r"\.(onnx|nw)", *arguments)
    for name in ("missing.onnx", "missing.nw", "folder.onnx", "folder.nw", "/dev/null", ""):
        narrow.bad(4, "cannot be opened|is not a regular file", "inspect", name)
    narrow.bad(4, "cannot be opened", "quantize", "missing.onnx", "o.nw", *QUANTIZE)
    narrow.bad(4, "cannot be opened", "eval", net, "--data", TEST, "--against", "missing.nw")
    narrow.bad(4, "cannot be opened", "bench", net, "--float", "missing.onnx")


def networks_that_do_not_match(narrow):
    net = quantized(narrow)
    seg = narrow.file("seg.onnx", made.segmenter())
    narrow.bad(4, "outputs of different sizes", "eval", net, "--data", TEST, "--against", seg)
    narrow.bad(4, "inputs of different sizes", "bench", net, "--float", seg)
    narrow.bad(4, "a sample has 3072 values, but the network reads 192", "quantize", seg, "o.nw", *QUANTIZE)
    narrow.bad(4, "classes", "eval", seg, "--data", TEST, "--preprocess", PREPROCESS)
    narrow.bad(4, "a sample has 768 values", "run", net, PICTURE, "--size", "16x16", "--resize", "exact")
    wide = made.onnx([("Conv", ["x", "w"], ["y"], {})], {"x": ["N", 3, 64, 64]}, {"y": ["N", 3, 16, 1]},
                     {"w": ([3, 3, 49, 64], [0.0] * (3 * 3 * 49 * 64))})
    narrow.file("wide.onnx", wide)
    narrow.bad(4, "wide.onnx|reads 12288", "bench", net, "--float", "wide.onnx")


# ---- code 4: data ----

def damaged_data(narrow):
    net = quantized(narrow)
    with open(PICTURE, "rb") as file:
        png = file.read()
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 4
    array = made.npy([2, 3, 32, 32], bytes(4 * 6144))
    files = {
        "missing.png": None, "empty.png": b"", "short.png": png[:100], "flipped.png": bytes(flipped),
        "text.png": b"not a picture\n", "cut.png": png[:-20], "head.png": png[:8],
        "huge.png": png[:16] + b"\x7f\xff\xff\xff\x7f\xff\xff\xff" + png[24:],
        "empty.jpg": b"", "short.jpg": made.JPEG[:60], "cut.jpg": made.JPEG[:220],
        "flipped.jpg": made.JPEG[:4] + b"\xff" + made.JPEG[5:],
        "empty.npy": b"", "short.npy": array[:90], "cut.npy": array[:-1],
        "odd.npy": array.replace(b"<f4", b"<Q9"), "big.npy": array.replace(b"(2,", b"(9999999999999999999,"),
        "nan.npy": made.npy([1, 3, 32, 32], made.floats([float("nan")] * 3072)),
        "small.npy": made.npy([1, 3, 8, 8], bytes(768)),
        "empty.npz": b"", "cut.npz": made.npz({"x": array})[:-30], "text.npz": b"PK\3\4" + bytes(50),
        "empty.csv": b"", "text.csv": b"a\nb\n", "gone.csv": b"gone.png,1\n", "class.csv": b"x.png,ring\n",
        "binary.csv": bytes(range(256)),
    }
    for name, data in files.items():
        if data is not None:
            narrow.file(name, data)
        folder = name.replace(".", "_")
        if data is not None and name.endswith(("png", "jpg")):
            narrow.file("%s/a/good.png" % folder, png)
            narrow.file("%s/b/%s" % (folder, name), data)
        options = ["--channel-order", "none", "--mean", "0", "--std", "1"] if ".np" in name else []
        narrow.bad(4, name, "run", net, name, *options)
        narrow.bad(4, name, "eval", net, "--data", name, "--against", net, *options)
        narrow.bad(4, name, "quantize", ONNX, "o.nw", "--calib", name, *(options or ["--preprocess", PREPROCESS]))
        if os.path.isdir(os.path.join(narrow.folder, folder)):
            narrow.bad(4, name, "eval", net, "--data", folder)
            narrow.bad(4, name, "quantize", ONNX, "o.nw", "--calib", folder, "--preprocess", PREPROCESS)
    os.mkdir(os.path.join(narrow.folder, "nothing"))
    narrow.bad(4, "nothing", "eval", net, "--data", "nothing")
    narrow.bad(4, "labels|missing", "eval", net, "--data", os.path.join(TEST, "ring"), "--labels", "missing.csv")


def damaged_json(narrow):
    net = quantized(narrow)
    with open(PREPROCESS, "rb") as file:
        good = file.read()
    files = {"empty.json": b"", "cut.json": good[:60], "list.json": b"[1, 2]", "key.json": b'{"sizes": [32, 32]}',
             "size.json": b'{"size": [32, -1]}', "std.json": b'{"mean": 1, "std": [1, 0, 1], "channel_order": "RGB"}',
             "deep.json": b"[" * 100000, "bytes.json": bytes(range(256)), "tail.json": good + b"}",
             "number.json": b'{"mean": 1e999}', "text.json": b'{"mean": "127"}'}
    for name, data in files.items():
        narrow.file(name, data)
        narrow.bad(4, name, "run", net, PICTURE, "--preprocess", name)
    os.mkdir(os.path.join(narrow.folder, "folder.json"))
    for name in ("missing.json", "folder.json"):
        narrow.bad(4, name, "quantize", ONNX, "o.nw", "--calib", CALIB, "--preprocess", name)
    plans = {"empty.plan": b"", "cut.plan": b'{"version": 1, "lay', "version.plan": b'{"version": 2}',
             "bits.plan": b'{"version": 1, "layers": [{"match": ".*", "bits": 9}]}', "deep.plan": b"[" * 100000}
    for name, data in plans.items():
        narrow.file(name, data)
        narrow.bad(4, name, "quantize", ONNX, "o.nw", "--calib", CALIB, "--plan", name)
    narrow.bad(4, "missing.plan", "quantize", ONNX, "o.nw", "--calib", CALIB, "--plan", "missing.plan")
    narrow.bad(4, "missing.txt", "run", net, PICTURE, "--names", "missing.txt")
    narrow.bad(4, "folder.json", "run", net, PICTURE, "--names", "folder.json")


# ---- code 4: output ----

def small_files():
    """A full disk, as far as a test may have one: writing stops after 4,000 bytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))


def unwritable_output(narrow):
    old = narrow.file("old.nw", "what was here before")
    os.mkdir(os.path.join(narrow.folder, "folder.nw"))
    os.mkfifo(os.path.join(narrow.folder, "pipe.nw"))
    for out in ("no/such/folder.nw", "folder.nw", "old.nw/below.nw", "pipe.nw", ""):
        narrow.bad(4, "%s: cannot be written: " % out, "quantize", ONNX, out, *QUANTIZE)
    narrow.bad(4, "old.nw: cannot be written: File too large", "quantize", ONNX, "old.nw", *QUANTIZE,
               preexec=small_files)
    narrow.bad(4, "new.nw: cannot be written: File too large", "quantize", ONNX, "new.nw", *QUANTIZE,
               preexec=small_files)
    if os.geteuid():
        os.chmod(narrow.folder, 0o555)
        narrow.bad(4, "cannot be written", "quantize", ONNX, "old.nw", *QUANTIZE)
        os.chmod(narrow.folder, 0o755)
    narrow.good("quantize", ONNX, old, *QUANTIZE)
    narrow.good("verify", old)


def standard_output(narrow):
    """A report that does not reach its reader is a failure, also where there is no standard output at all."""
    net = quantized(narrow)
    commands = [["--help"], ["--version"], ["eval", "--help"], ["cpu"], ["cpu", "--json"], ["inspect", net],
                ["inspect", net, "--json"], ["verify", net], ["run", net, PICTURE], ["bench", net, "--runs", "1"],
                ["eval", net, "--data", TEST, "--limit", "2", "--json"]]
    for command in commands:
        results = [narrow(*command, stdout=None, preexec=lambda: os.close(1))]
        if os.path.exists("/dev/full"):
            with open("/dev/full", "w") as full:
                results.append(narrow(*command, stdout=full))
        for result in results:
            assert result.code == 4 and len(result.err.splitlines()) == 1, (command, result.code, result.err)
            check_sentence(result.err.rstrip("\n"), command)
            assert "standard output" in result.err


if __name__ == "__main__":
    main("test_errors", sys.argv, [
        usage, unsupported_operators, damaged_models, networks_that_do_not_match, damaged_data, damaged_json,
        unwritable_output, standard_output])
