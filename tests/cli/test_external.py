# SPDX-License-Identifier: Apache-2.0
"""Networks whose weights lie in a file beside them, as exporters write large ones: the same network comes out; entries that
are wrong, lead out of the folder or promise what is not there end in one sentence.

    test_external.py NARROW [CASE...]
"""
import os
import sys

import made_files as made
from narrow_cli import main

WEIGHTS = made.floats(made.SEGMENTER_WEIGHTS)


def same_network(narrow):
    whole = narrow.file("whole.onnx", made.segmenter())
    narrow.file("sub/w.bin", b"front" + WEIGHTS + b"behind")
    apart = narrow.file("apart.onnx", made.segmenter({"location": "sub/w.bin", "offset": "5", "length": "36"}))
    bare = narrow.file("bare.onnx", made.segmenter({"location": "w.bin"}))
    narrow.file("w.bin", WEIGHTS)
    calib = narrow.file("calib.npy", made.npy([4, 3, 8, 8], made.floats([0.01 * (i % 97) for i in range(768)])))
    nets = []
    for onnx in (whole, apart, bare):
        narrow.good("quantize", onnx, "x.nw", "--calib", calib)
        with open(os.path.join(narrow.folder, "x.nw"), "rb") as file:
            nets.append(file.read())
    assert nets[0] == nets[1] == nets[2]
    report = narrow.report("report", "x.nw", "--against", apart)
    assert report["against_bytes"] == os.path.getsize(apart) + len(WEIGHTS), report["against_bytes"]


def refused(narrow):
    outside = narrow.file("w.bin", WEIGHTS)
    os.makedirs(os.path.join(narrow.folder, "in", "folder"))
    os.mkfifo(os.path.join(narrow.folder, "in", "pipe"))
    narrow.file("in/short.bin", WEIGHTS[:-1])
    narrow.file("in/w.bin", WEIGHTS)
    rows = [
        ({"location": "none.bin"}, "none.bin: cannot be opened"),
        ({"location": "short.bin"}, "is too short for the weights"),
        ({"location": "w.bin", "offset": "1"}, "is too short for the weights"),
        ({"location": "w.bin", "offset": "999999999999999999"}, "is too short for the weights"),
        ({"location": "w.bin", "offset": "18446744073709551615"}, "its entry for another file is damaged"),
        ({"location": "w.bin", "offset": "-4"}, "its entry for another file is damaged"),
        ({"location": "w.bin", "offset": ""}, "its entry for another file is damaged"),
        ({"location": "w.bin", "length": "35"}, "its entry for another file is damaged"),
        ({"location": "w.bin", "length": "4x"}, "its entry for another file is damaged"),
        ({"offset": "0"}, "its entry for another file is damaged"),
        ({"location": "../w.bin"}, "may not lie outside"),
        ({"location": "folder/../../w.bin"}, "may not lie outside"),
        ({"location": outside}, "may not lie outside"),
        ({"location": ""}, "may not lie outside"),
        ({"location": "."}, "may not lie outside"),
        ({"location": "folder/"}, "may not lie outside"),
        ({"location": "folder"}, "is not a regular file"),
        ({"location": "pipe"}, "is not a regular file"),
    ]
    for entries, pattern in rows:
        narrow.bad(4, pattern, "inspect", narrow.file("in/x.onnx", made.segmenter(entries)))


if __name__ == "__main__":
    main("test_external", sys.argv, [same_network, refused])
