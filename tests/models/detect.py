# SPDX-License-Identifier: Apache-2.0
"""Detectors and a segmentation network as integers: detect.py NARROW PICTURE_DUMP [--samples N] [--write FILE] [NAME ...]

Every network is quantized on N (default 24) calibration pictures of the test-bed, run by the integer engine on sample
pictures that calibration never saw, and compared with the float network in ONNX Runtime on the same prepared inputs:

    pixels     share of pixels whose class (largest logit) is that of the float network; `map`: of the expected map
    boxes      over the score threshold, behind non-maximum suppression: of the float network and of the integer one.
               `kept`: share of the float network's boxes that an integer box of the same class overlaps with
               IoU >= 0.5; `true`: the other way round. `score`: mean difference of the scores of boxes that met
    largest    and root mean square (`rms`) difference of any output, relative to that output's range

Fails where a network falls below the limits of NETWORKS, or not all of its multiply-accumulates are integer. --write
makes docs/results/detectors.md. Exit code 77 where the test-bed or onnxruntime is missing.

Calibration pictures are of ImageNet classes. The face detector is calibrated on every other face picture and tested on
the rest: pictures without faces do not show what its ranges must hold (NAME face-rfb320-strangers).
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

TESTBED = os.environ.get("NARROW_TESTBED", "../shared/testbed")


def skip(why):
    print("SKIP: detect:", why)
    sys.exit(77)


try:
    import numpy as np
    import onnxruntime as ort
except ImportError as missing:
    skip("%s; set NARROW_PYTHON to a Python that has onnxruntime" % missing)


def iou(a, b):
    """[n, m] overlap of boxes x1, y1, x2, y2."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.prod(np.clip(high - low, 0, None), axis=2)
    area = lambda x: np.prod(np.clip(x[:, 2:] - x[:, :2], 0, None), axis=1)
    return both / np.maximum(area(a)[:, None] + area(b)[None, :] - both, 1e-12)


def suppress(boxes, scores, classes, threshold, overlap):
    """Boxes over the threshold, best first, each suppressing what it overlaps in its class: (boxes, scores, classes)."""
    keep = scores > threshold
    boxes, scores, classes = boxes[keep], scores[keep], classes[keep]
    order = np.argsort(-scores, kind="stable")
    boxes, scores, classes = boxes[order], scores[order], classes[order]
    chosen = []
    for i in range(len(scores)):
        rivals = [j for j in chosen if classes[j] == classes[i]]
        if not rivals or iou(boxes[i:i + 1], boxes[rivals]).max() <= overlap:
            chosen.append(i)
    return boxes[chosen], scores[chosen], classes[chosen]


def fastestdet(outputs):
    y = outputs[0]
    classes = y[5:].reshape(80, -1)
    scores = np.maximum(y[0].reshape(-1), 0) ** 0.6 * classes.max(0) ** 0.4
    row, column = [g.reshape(-1) for g in np.mgrid[:22, :22]]
    box = y[1:5].reshape(4, -1)
    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    x, y, w, h = (column + np.tanh(box[0])) / 22, (row + np.tanh(box[1])) / 22, sigmoid(box[2]), sigmoid(box[3])
    return suppress(np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1), scores, classes.argmax(0), 0.65, 0.45)


def yolox(outputs):
    y = outputs[0]
    grids, steps = [], []
    for step in (8, 16, 32):
        n = 416 // step
        grids.append(np.stack([g.reshape(-1) for g in np.mgrid[:n, :n][::-1]], 1))
        steps.append(np.full((n * n, 1), step))
    grid, step = np.concatenate(grids), np.concatenate(steps)
    centre, size = (y[:, :2] + grid) * step, np.exp(np.minimum(y[:, 2:4], 20)) * step
    scores = y[:, 4:5] * y[:, 5:]
    return suppress(np.concatenate([centre - size / 2, centre + size / 2], 1), scores.max(1), scores.argmax(1), 0.5, 0.45)


def faces(outputs):
    scores, boxes = outputs
    return suppress(boxes, scores[:, 1], np.zeros(len(scores), int), 0.7, 0.3)


FACE = dict(model="face-rfb320", decode=faces, data=["samples/faces"], pictures=slice(1, None, 2),
            flags="--size 240x320 --resize exact --mean 127 --std 128")
NETWORKS = {
    "deeplabv3-mnv2-voc": dict(
        model="deeplabv3-mnv2-voc", data=["samples/deeplab/input.jpg", "samples/coco"],
        expected="samples/deeplab/expected_classes.png", calib="imagenet/calib",
        flags="--size 257x257 --resize exact --mean 127.5 --std 127.5", limits=dict(pixels=0.96, map=0.98)),
    "fastestdet-coco": dict(
        model="fastestdet-coco", data=["samples/coco"], decode=fastestdet, calib="imagenet/calib",
        flags="--size 352x352 --resize exact --interpolation box --channel-order BGR --mean 0 --std 255",
        limits=dict(kept=0.78, true=0.85, score=0.03)),
    "yolox-nano-coco": dict(
        model="yolox-nano-coco", data=["samples/coco"], decode=yolox, calib="imagenet/calib",
        flags="--size 416x416 --resize letterbox:114 --mean 123.675,116.28,103.53 --std 58.395,57.12,57.375",
        limits=dict(kept=0.85, true=0.85, score=0.05)),
    "face-rfb320": dict(FACE, calib="samples/faces", calib_pictures=slice(0, None, 2),
                        limits=dict(kept=0.97, true=0.97, score=0.01)),
    "face-rfb320-strangers": dict(FACE, calib="imagenet/calib", limits={}),
}


def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def gather(folder, data, pictures):
    """A folder of links to the chosen ones of some files and folders, in the order of their names."""
    os.mkdir(folder)
    for k, part in enumerate(data):
        path = os.path.abspath(os.path.join(TESTBED, "data", part))
        files = sorted(os.path.join(path, f) for f in os.listdir(path)) if os.path.isdir(path) else [path]
        for file in files[pictures]:
            os.symlink(file, os.path.join(folder, "%d_%s" % (k, os.path.basename(file))))
    return folder


def run_both(programs, network, samples, extra, folder):
    """Names of the pictures, per picture the outputs of the float and of the integer network, and what quantize said."""
    onnx, nw = os.path.join(TESTBED, "models", network["model"] + ".onnx"), os.path.join(folder, "out.nw")
    calib = gather(os.path.join(folder, "calib"), [network["calib"]], network.get("calib_pictures", slice(None)))
    samples = min(samples, len(os.listdir(calib)))
    made = subprocess.run([programs[0], "quantize", onnx, nw, "--calib", calib, "--samples", str(samples), "--json"] +
                          network["flags"].split() + extra, check=True, capture_output=True, text=True)
    paths = [os.path.join(folder, "in.f32"), os.path.join(folder, "out.f32")]
    pictures = gather(os.path.join(folder, "pictures"), network["data"], network.get("pictures", slice(None)))
    names = subprocess.run([programs[1], nw, pictures] + paths, check=True, capture_output=True, text=True).stdout.split()
    net = session(onnx)
    shape = net.get_inputs()[0].shape
    inputs = np.fromfile(paths[0], np.float32).reshape([len(names), 1] + list(shape[1:]))
    values = np.fromfile(paths[1], np.float32).reshape(len(names), -1)
    reals, integers = [], []
    for x, row in zip(inputs, values):
        reals.append([y[0] for y in net.run(None, {net.get_inputs()[0].name: x})])
        ends = np.cumsum([y.size for y in reals[-1]])
        assert ends[-1] == row.size, "number of output values"
        integers.append([part.reshape(y.shape) for part, y in zip(np.split(row, ends), reals[-1])])
    return names, reals, integers, json.loads(made.stdout)


def compare_outputs(reals, integers):
    """Largest and root mean square difference of any output over its range, over all pictures."""
    worst = rms = 0.0
    for k in range(len(reals[0])):
        a, b = np.stack([r[k] for r in reals]), np.stack([i[k] for i in integers])
        span = float(a.max() - a.min()) or 1.0
        worst = max(worst, float(np.abs(a - b).max()) / span)
        rms = max(rms, float(np.sqrt(np.mean(np.square(a - b)))) / span)
    return dict(largest=worst, rms=rms)


def compare_maps(network, reals, integers):
    from PIL import Image
    expected = np.asarray(Image.open(os.path.join(TESTBED, "data", network["expected"])))
    same = [np.mean(a[0].argmax(0) == b[0].argmax(0)) for a, b in zip(reals, integers)]
    return dict(pixels=float(np.mean(same)), map=float(np.mean(integers[0][0].argmax(0) == expected)))


def compare_boxes(network, reals, integers):
    total = dict(boxes_float=0, boxes=0, kept=0, true=0)
    differences = []
    for real, integer in zip(reals, integers):
        a, b = network["decode"](real), network["decode"](integer)
        total["boxes_float"] += len(a[1])
        total["boxes"] += len(b[1])
        if not len(a[1]) or not len(b[1]):
            continue
        overlap = iou(a[0], b[0]) * (a[2][:, None] == b[2][None, :])
        met = np.flatnonzero(overlap.max(1) >= 0.5)
        total["kept"] += len(met)
        total["true"] += int((overlap.max(0) >= 0.5).sum())
        differences += [abs(float(a[1][i] - b[1][overlap[i].argmax()])) for i in met]
    total["kept"] /= max(1, total["boxes_float"])
    total["true"] /= max(1, total["boxes"])
    return dict(total, score=float(np.mean(differences)) if differences else 1.0)


def passes(network, result):
    good = result["integer_macs"] == 1.0
    for key, limit in network["limits"].items():
        good = good and (result[key] <= limit if key == "score" else result[key] >= limit)
    return good


def describe(result):
    return "  ".join("%s %s" % (k, v if isinstance(v, int) else "%.4f" % v) for k, v in result.items())


def table(rows):
    """docs/results/detectors.md from (name, network, result)."""
    text = """# Detectors and segmentation as integers

Made by `tests/models/detect.py --write` with 8-bit weights and activations; all multiply-accumulates are integer. The
integer engine ran on pictures that calibration never saw, beside the float network in ONNX Runtime on the same prepared
inputs. Few pictures, no labels: this shows agreement with the float network, not accuracy.

| network | calibrated on | pictures | agreement with float | largest, rms difference of any output, share of its range |
|---|---|---|---|---|
"""
    for name, network, r in rows:
        if "pixels" in r:
            agreement = "class of %.2f %% of the pixels; %.2f %% of the expected map" % (100 * r["pixels"], 100 * r["map"])
        else:
            agreement = "%d boxes, float %d; %.1f %% of float's kept, %.1f %% true; scores differ by %.4f" % (
                r["boxes"], r["boxes_float"], 100 * r["kept"], 100 * r["true"], r["score"])
        text += "| %s | %d of `%s` | %d | %s | %.3f, %.4f |\n" % (network["model"], r["calibration"], network["calib"],
                                                                 r["pictures"], agreement, r["largest"], r["rms"])
    return text + """
Boxes: over the score threshold of the test-bed's README (0.65, 0.5, 0.7), behind non-maximum suppression; *kept*: the
share of the float network's boxes that an integer box of the same class overlaps with IoU >= 0.5; *true*: the other way
round; the difference of scores is the mean over boxes that met. The face detector is calibrated on every other face
picture and run on the rest. Its last row shows why: ImageNet pictures hardly ever excite the channels that answer to
faces, so their ranges come out too narrow, and small faces are lost. Weights of 4 and 3 bits:
[detectors-weights](detectors-weights.md).
"""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("narrow"), parser.add_argument("picture_dump")
    parser.add_argument("--samples", type=int, default=24)
    parser.add_argument("--quantize", default="", help="further options of quantize, as --quantize='...'")
    parser.add_argument("--write", help="file for the table; measures every network")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    names = options.names or [n for n in NETWORKS if options.write or NETWORKS[n]["limits"]]
    for name in names:
        if not os.path.exists(os.path.join(TESTBED, "models", NETWORKS[name]["model"] + ".onnx")):
            skip("%s is missing in %s; set NARROW_TESTBED" % (name, TESTBED))
    failed, rows = 0, []
    for name in names:
        network = NETWORKS[name]
        with tempfile.TemporaryDirectory() as folder:
            pictures, reals, integers, made = run_both((options.narrow, options.picture_dump), network,
                                                       options.samples, options.quantize.split(), folder)
        result = dict(pictures=len(pictures), calibration=made["calibration_samples"],
                      integer_macs=made["integer_mac_share"], **compare_outputs(reals, integers))
        result.update(compare_boxes(network, reals, integers) if "decode" in network
                      else compare_maps(network, reals, integers))
        good = passes(network, result)
        print("%-22s %s%s" % (name, describe(result), "" if good else "   BELOW ITS LIMITS"), flush=True)
        failed += not good
        rows.append((name, network, result))
    if options.write:
        with open(options.write, "w") as file:
            file.write(table(rows))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
