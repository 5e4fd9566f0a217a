#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The pictures of `narrow report` in docs/: the demo's network, planned, quantized and described; the top of the
page in the light, its layers in the dark; by AVX2, whose layers have runs of 16-bit sums.

    report_pictures.py NARROW      writes docs/report-light.png and docs/report-dark.png; needs Chromium
"""
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "cli"))
import browser  # noqa: E402

DEMO = os.path.join(ROOT, "demo")
ONNX = os.path.join(DEMO, "glyphs.onnx")
LIMIT = 200000  # bytes of a picture


def main(narrow):
    narrow = os.path.abspath(narrow)
    calib = ["--calib", os.path.join(DEMO, "pictures", "calib"), "--preprocess", os.path.join(DEMO, "preprocess.json")]
    environment = dict(os.environ, NARROW_ISA="avx2", ONEDNN_MAX_CPU_ISA="AVX2") # both networks
    with tempfile.TemporaryDirectory() as folder:
        def run(*arguments):
            subprocess.run([narrow, *arguments], check=True, cwd=folder, env=environment)

        run("plan", ONNX, "plan.json", *calib, "--target-size", "25%", "--threads", "1")
        run("quantize", ONNX, "glyphs.nw", *calib, "--plan", "plan.json", "--threads", "1")
        run("report", "glyphs.nw", "-o", "glyphs.html", "--against", ONNX, "--data", os.path.join(DEMO, "pictures", "test"),
            "--plan", "plan.json", "--bench", "--runs", "200")
        page = os.path.join(folder, "glyphs.html")
        with open(page, encoding="utf-8") as file:
            text = file.read()
        layers = os.path.join(folder, "layers.html")
        with open(layers, "w", encoding="utf-8") as file: # a browser without a head does not scroll
            file.write(text.replace("</head>", "<style>body>:not(header):not(#layers){display:none}</style></head>"))
        for name, shown, height, dark in (("light", page, 1615, False), ("dark", layers, 860, True)):
            out = os.path.join(ROOT, "docs", "report-%s.png" % name)
            browser.picture(shown, out, folder, 1240, height, dark)
            size = os.path.getsize(out)
            print("%s: %d bytes" % (out, size))
            if size > LIMIT:
                sys.exit("more than %d bytes" % LIMIT)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
