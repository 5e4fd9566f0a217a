#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Check the demo's files as a stranger would: accuracy of glyphs.onnx in ONNX Runtime on pictures/test from disk.

    python3 -m venv venv && venv/bin/pip install onnx onnxruntime pillow numpy
    venv/bin/python demo/check.py

Run by hand after train.py; fails when the accuracy, the operators, the parameters or the size leave their limits.
"""
import collections
import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from PIL import Image

ALLOWED = {"Conv", "BatchNormalization", "Relu", "Clip", "Add", "GlobalAveragePool", "Flatten", "Gemm"}


def load(folder, preprocess):
    """float32 [N, 3, H, W] and classes int64 [N]; the class is the index of the sub-folder in sorted order."""
    pixels, labels = [], []
    for label, sub in enumerate(sorted(p for p in folder.iterdir() if p.is_dir())):
        for path in sorted(sub.iterdir()):
            pixels.append(np.asarray(Image.open(path).convert("RGB")))
            labels.append(label)
    x = (np.stack(pixels).astype(np.float32) - np.float32(preprocess["mean"])) / np.float32(preprocess["std"])
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)), np.array(labels)


def count_macs(model):
    """Multiply-accumulates of Conv and Gemm for one picture."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
              for v in list(inferred.value_info) + list(inferred.output)}
    weights = {w.name: list(w.dims) for w in model.graph.initializer}
    return sum(int(np.prod(weights[n.input[1]])) * int(np.prod(shapes[n.output[0]][2:]))
               for n in model.graph.node if n.op_type in ("Conv", "Gemm"))


def main():
    demo = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent
    model = onnx.load(demo / "glyphs.onnx")
    onnx.checker.check_model(model, full_check=True)
    operators = collections.Counter(n.op_type for n in model.graph.node)
    params = sum(int(np.prod(w.dims)) for w in model.graph.initializer)
    print(f"operators {dict(operators)}\nparameters {params}, MACs {count_macs(model)}")

    preprocess = json.loads((demo / "preprocess.json").read_text())
    session = onnxruntime.InferenceSession(str(demo / "glyphs.onnx"))
    accuracy = {}
    for name in ("calib", "test"):
        x, labels = load(demo / "pictures" / name, preprocess)
        found = np.concatenate([session.run(None, {"input": x[i:i + 100]})[0] for i in range(0, len(x), 100)])
        right = found.argmax(1) == labels
        accuracy[name] = right.mean() * 100
        print(f"{name}: {right.sum()} of {len(x)} right, {accuracy[name]:.2f} %; "
              f"logits {found.min():.2f} to {found.max():.2f}; per class "
              + " ".join(f"{right[labels == k].mean() * 100:.0f}" for k in range(labels.max() + 1)))

    size = sum(p.stat().st_size for p in demo.rglob("*") if p.is_file())
    print(f"files {size} bytes")
    failures = [text for text, wrong in (
        ("operators", not set(operators) <= ALLOWED), ("accuracy", not 93 <= accuracy["test"] <= 97),
        ("parameters", not 40_000 <= params <= 150_000), ("size", size >= 3_000_000)) if wrong]
    if failures:
        sys.exit("outside their limits: " + ", ".join(failures))


if __name__ == "__main__":
    main()
