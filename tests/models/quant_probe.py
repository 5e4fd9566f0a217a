#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs quant_probe on networks of the test-bed (NARROW_TESTBED, default ../shared/testbed).

    python3 tests/models/quant_probe.py build/tests/models/quant_probe resnet20-cifar10 plain:eq=0,bc=0 default

A network name may carry a data set and a number of samples, and there may be several: resnet20-cifar10@cifar10-png,
mobilenetv2-imagenet@imagenet:100 with a comma between.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

TESTBED = pathlib.Path(os.environ.get("NARROW_TESTBED", "../shared/testbed"))
EXTRA = {
    "unet-camvid": {
        "preprocess": {"size": [176, 240], "mean": [104.55, 107.1, 109.65], "std": [76.5, 79.05, 79.05]},
        "dataset": ["camvid"],
    },
    "mobilenetv2-cifar10": {
        "preprocess": {"size": [32, 32], "mean": [125.307, 122.961, 113.8575], "std": [62.985, 62.0925, 66.708]},
        "dataset": ["cifar10"],
    },
}


def main():
    if not TESTBED.is_dir():
        print("SKIP: no test-bed at", TESTBED)
        return 77
    probe, networks, configs = sys.argv[1], sys.argv[2].split(","), sys.argv[3:] or ["default"]
    models = {m["name"]: m for m in json.loads((TESTBED / "models.json").read_text())["models"]}
    models = {**models, **EXTRA}
    for network in networks:
        name, _, rest = network.partition("@")
        data, _, count = rest.partition(":")
        model = models[name]
        data = data or model["dataset"][0]
        folder = TESTBED / "data" / data
        preprocess = {**model["preprocess"], "class_offset": model.get("class_offset", 0)}
        paths = [folder / "calib", folder / "test"]
        if data == "imagenet":
            paths = [folder / "calib.csv", folder / "test.csv"]
        elif data.startswith("kws"):
            paths = [folder / "calib.npy", folder / "test.npy"]
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(preprocess, file)
            file.flush()
            command = [probe, TESTBED / "models" / f"{name}.onnx", file.name, *paths, count or "0",
                       os.environ.get("NARROW_PROBE_THREADS", "2")]
            if data == "camvid":
                command += ["--maps", folder / "test_labels"]
            print(f"== {name} on {data}", flush=True)
            done = subprocess.run([str(c) for c in command] + configs, check=False)
            if done.returncode:
                return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
