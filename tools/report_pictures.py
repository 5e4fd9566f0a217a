#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The pictures of `narrow report` in docs/: the demo's network, planned, quantized and described; light and dark.

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
    with tempfile.TemporaryDirectory() as folder:
        def run(*arguments):
            subprocess.run([narrow, *arguments], check=True, cwd=folder)

        run("plan", ONNX, "plan.json", *calib, "--target-size", "25%", "--threads", "1")
        run("quantize", ONNX, "glyphs.nw", *calib, "--plan", "plan.json", "--threads", "1")
        run("report", "glyphs.nw", "-o", "glyphs.html", "--against", ONNX, "--data", os.path.join(DEMO, "pictures", "test"),
            "--plan", "plan.json", "--bench", "--runs", "200")
        for name, dark in (("light", False), ("dark", True)):
            out = os.path.join(ROOT, "docs", "report-%s.png" % name)
            browser.picture(os.path.join(folder, "glyphs.html"), out, folder, 1120, 1720, dark)
            size = os.path.getsize(out)
            print("%s: %d bytes" % (out, size))
            if size > LIMIT:
                sys.exit("more than %d bytes" % LIMIT)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
