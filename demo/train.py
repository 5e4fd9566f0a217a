#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make everything the demo carries: pictures/, glyphs.onnx and preprocess.json.

    apt-get install python3-torch python3-numpy python3-pil
    python3 demo/train.py            # about twelve minutes on one core
    python3 demo/train.py --pictures # only the pictures

The training pictures come from render.py and stay in memory; the calibration and test pictures come from other seeds
and are written as PNG. Run by hand when the demo changes; neither the build nor `make demo` needs it.
"""
import argparse
import json
import pathlib
import shutil
import time

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

import render

HERE = pathlib.Path(__file__).resolve().parent
MEAN, STD = 127.5, 64.0
SETS = {"calib": (1001, 20), "test": (1002, 90)}   # name: seed, pictures per class
TRAIN_SEED = 1000


# ---- network ----

def conv_bn(n_in, n_out, kernel, stride=1, groups=1):
    return [nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(n_out)]


class Residual(nn.Module):
    """relu(conv3x3(relu(conv3x3(x))) + shortcut(x)), the block of ResNet; a stride needs a 1x1 shortcut."""

    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.body = nn.Sequential(*conv_bn(n_in, n_out, 3, stride), nn.ReLU(), *conv_bn(n_out, n_out, 3))
        self.shortcut = nn.Sequential(*conv_bn(n_in, n_out, 1, stride))
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.body(x) + self.shortcut(x))


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise 3x3, linear 1x1 projection, the block of MobileNetV2; adds x where shapes agree."""

    def __init__(self, n_in, n_out, stride, expansion):
        super().__init__()
        n = n_in * expansion
        self.body = nn.Sequential(*conv_bn(n_in, n, 1), nn.ReLU6(),
                                  *conv_bn(n, n, 3, stride, groups=n), nn.ReLU6(),
                                  *conv_bn(n, n_out, 1))
        self.add = stride == 1 and n_in == n_out

    def forward(self, x):
        return x + self.body(x) if self.add else self.body(x)


def network():
    return nn.Sequential(
        nn.Sequential(*conv_bn(3, 16, 3), nn.ReLU()),              # 32 x 32
        Residual(16, 32, 2),                                       # 16 x 16
        InvertedResidual(32, 32, 1, 3),
        InvertedResidual(32, 48, 2, 4),                            # 8 x 8
        InvertedResidual(48, 48, 1, 4),
        nn.Sequential(*conv_bn(48, 128, 1), nn.ReLU6()),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, len(render.CLASSES)))


class ClipNode(torch.autograd.Function):
    """clamp(x, min, max) that exports as one Clip node whose limits are initializers."""

    @staticmethod
    def forward(ctx, x, low, high):
        return torch.clamp(x, 0, 6)

    @staticmethod
    def symbolic(g, x, low, high):
        return g.op("Clip", x, low, high)


class Clip(nn.Module):
    """ReLU6 for the export: PyTorch's own would bring two Constant nodes each time."""

    def __init__(self):
        super().__init__()
        self.register_buffer("min", torch.tensor(0.0))
        self.register_buffer("max", torch.tensor(6.0))

    def forward(self, x):
        return ClipNode.apply(x, self.min, self.max)


def fold_some(net):
    """Fold the batch norms of the stem and the residual block; the others stay nodes, so that both forms occur."""
    for seq in (net[0], net[1].body, net[1].shortcut):
        for i, layer in enumerate(list(seq)):
            if isinstance(layer, nn.BatchNorm2d):
                seq[i - 1] = fuse_conv_bn_eval(seq[i - 1], layer)
                seq[i] = nn.Identity()
    return net


# ---- training ----

def to_input(pixels):
    """uint8 [N, H, W, 3] -> float32 [N, 3, H, W], as preprocess.json says."""
    x = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float()
    return (x - MEAN) / STD


def augment(pixels, rng):
    """The whole batch mirrored or not, and its channels in random order."""
    if rng.random() < 0.5:
        pixels = pixels[:, :, ::-1]
    return pixels[..., rng.permutation(3)]


def evaluate(net, pixels, labels):
    net.eval()
    with torch.no_grad():
        found = torch.cat([net(to_input(pixels[i:i + 256])).argmax(1) for i in range(0, len(pixels), 256)])
    return (found.numpy() == labels).mean() * 100


def train(net, pixels, labels, test, epochs, batch=64):
    rng = np.random.default_rng(1)
    steps = epochs * (len(pixels) // batch)
    decayed = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    optimizer = torch.optim.SGD([{"params": decayed, "weight_decay": 5e-4}, {"params": others, "weight_decay": 0}],
                                lr=0.1, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.12, steps, pct_start=0.2)
    loss_function = nn.CrossEntropyLoss(label_smoothing=0.05)
    start = time.time()
    for epoch in range(epochs):
        net.train()
        order = rng.permutation(len(pixels))
        total = 0.0
        for step in range(len(pixels) // batch):
            pick = order[step * batch:(step + 1) * batch]
            loss = loss_function(net(to_input(augment(pixels[pick], rng))), torch.from_numpy(labels[pick]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}/{epochs}: loss {total / (step + 1):.4f}, test {evaluate(net, *test):.2f} %, "
              f"{time.time() - start:.0f} s", flush=True)


# ---- files ----

def write_pictures(out):
    for name, (seed, per_class) in SETS.items():
        shutil.rmtree(out / "pictures" / name, ignore_errors=True)
        pixels, labels = render.render_set(seed, per_class)
        for i, (picture, label) in enumerate(zip(pixels, labels)):
            path = out / "pictures" / name / render.CLASSES[label] / f"{i // len(render.CLASSES):03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path, optimize=True)


def write_preprocess(out):
    keys = {"size": [render.SIZE, render.SIZE], "resize": None, "crop": None, "mean": [MEAN] * 3, "std": [STD] * 3,
            "layout": "NCHW", "channel_order": "RGB"}
    (out / "preprocess.json").write_text(json.dumps(keys, indent=1) + "\n")


def write_onnx(net, path):
    """opset 13, symbolic batch; PRESERVE keeps the batch norms that fold_some left."""
    net.eval()
    clip = Clip()
    for seq in [m for m in net.modules() if isinstance(m, nn.Sequential)]:
        for i, layer in enumerate(list(seq)):
            if isinstance(layer, nn.ReLU6):
                seq[i] = clip
    torch.onnx.export(net, torch.zeros(1, 3, render.SIZE, render.SIZE), str(path), opset_version=13,
                      training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False,
                      input_names=["input"], output_names=["logits"],
                      dynamic_axes={"input": {0: "N"}, "logits": {0: "N"}})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=HERE, help="where the files go (default: this folder)")
    parser.add_argument("--pictures", action="store_true", help="write the pictures and preprocess.json only")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--per-class", type=int, default=3000, help="training pictures per class")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()

    args.out.mkdir(parents=True, exist_ok=True)
    write_pictures(args.out)
    write_preprocess(args.out)
    if args.pictures:
        return
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    net = network()
    print(f"{sum(p.numel() for p in net.parameters())} parameters", flush=True)
    start = time.time()
    pixels, labels = render.render_set(TRAIN_SEED, args.per_class)
    print(f"{len(pixels)} training pictures in {time.time() - start:.0f} s", flush=True)
    test = render.render_set(*SETS["test"])
    train(net, pixels, labels, test, args.epochs)
    print(f"test {evaluate(net, *test):.2f} %, "
          f"with batch norms folded {evaluate(fold_some(net), *test):.2f} %")
    write_onnx(net, args.out / "glyphs.onnx")


if __name__ == "__main__":
    main()
