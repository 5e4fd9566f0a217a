# SPDX-License-Identifier: Apache-2.0
"""The networks that are timed, and their samples: the same files and the same values for every tool.

The real ones and their preprocessing come from the test bed's models.json; networks with random weights are the
*-random.onnx files of a folder. `prepare` writes what the tools read: fixed.onnx (batch 1, opset 13 or later),
calib.npy and test.npy ([n, ...] float32, already normalized).
"""
import csv
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

N_CALIBRATION = 16
N_TEST = 32

IMAGENET = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "channel_order": "RGB", "crop": "center",
            "resize": {"shorter_side": 256}}


@dataclass
class Network:
    """One network. `task` says how outputs are compared: classes, map (classes per pixel) or values."""
    name: str
    onnx: str
    input_name: str
    shape: list  # with batch 1
    preprocess: dict
    dataset: str
    task: str
    random: bool
    folder: str = ""

    def path(self, name):
        return os.path.join(self.folder, name)


def real_networks(testbed):
    """Networks of the test bed, from models.json."""
    with open(testbed / "models.json") as file:
        rows = json.load(file)["models"]
    for row in rows:
        shape = [1] + row["input"]["shape"][1:]
        n_axes = len(row["outputs"][0]["shape"])
        # Detectors, pictures and vectors of reals are compared by value.
        classes = row.get("classes") and "detect" not in row["task"]
        task = ("map" if n_axes == 4 else "classes") if classes else "values"
        dataset = row["dataset"]
        dataset = dataset if isinstance(dataset, str) else (dataset[0] if dataset else "samples")
        yield Network(row["name"], str(testbed / row["file"]), row["input"]["name"], shape, row["preprocess"], dataset,
                      task, False)


def random_networks(folder):
    """Networks with random weights: *-random.onnx, made by the test bed's make_random_models.py."""
    import onnx
    for path in sorted(Path(folder).glob("*-random.onnx")):
        model = onnx.load(path, load_external_data=False)
        value = model.graph.input[0]
        shape = [1] + [d.dim_value for d in value.type.tensor_type.shape.dim][1:]
        task = "map" if len(model.graph.output[0].type.tensor_type.shape.dim) == 4 else "classes"
        yield Network(path.stem, str(path), value.name, shape, dict(IMAGENET, size=shape[2:]), "imagenet", task, True)


def prepare(network, testbed):
    """Writes fixed.onnx, calib.npy and test.npy into network.folder unless they are there."""
    os.makedirs(network.folder, exist_ok=True)
    if not os.path.exists(network.path("fixed.onnx")):
        write_fixed(network)
    if not os.path.exists(network.path("test.npy")):
        calibration, test = samples(network, testbed)
        for name, values in (("calib.npy", calibration), ("test.npy", test)):
            if list(values.shape[1:]) != network.shape[1:]:
                raise ValueError(f"{network.name}: samples {values.shape[1:]}, the network reads {network.shape[1:]}")
            np.save(network.path(name), np.ascontiguousarray(values, dtype=np.float32))


def write_fixed(network):
    """The ONNX file with the batch set to 1 and an opset that every tool's quantizer accepts."""
    import onnx
    import onnx.version_converter
    model = onnx.load(network.onnx)
    for value in model.graph.input:
        if value.name == network.input_name:
            for dim, size in zip(value.type.tensor_type.shape.dim, network.shape):
                dim.dim_value = size
    if model.opset_import[0].version < 13:
        model = onnx.version_converter.convert_version(model, 13)
    for value in model.graph.output:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, network.path("fixed.onnx"))


def samples(network, testbed):
    """(calibration, test) from disjoint parts of the network's data."""
    folder = testbed / "data" / network.dataset
    arrays = sorted(folder.glob("*.npy"))
    if (folder / "calib.npy").exists():
        pool = [np.load(folder / "calib.npy"), np.load(folder / "test.npy")]
    elif arrays:
        values = np.load(arrays[0])
        pool = [values[0::2], values[1::2]]
    else:
        calibration, test = pictures(folder)
        if not calibration:
            files = sorted(p for p in (testbed / "data" / "samples").rglob("*.jpg"))
            calibration, test = files[0::2], files[1::2]
        chosen = spread(calibration, N_CALIBRATION), spread(test, N_TEST)
        return tuple(np.stack([picture(path, network.preprocess) for path in paths]) for paths in chosen)
    return spread(pool[0], N_CALIBRATION), spread(pool[1], N_TEST)


def pictures(folder):
    """Paths of calibration and test pictures: calib.csv and test.csv, or the folders calib/ and test/."""
    def listed(part):
        table = folder / f"{part}.csv"
        if table.exists():
            with open(table) as file:
                rows = list(csv.reader(file))[1:]
            return [path for row in rows for path in (folder / row[0], folder / part / row[0]) if path.exists()]
        return sorted(p for p in (folder / part).rglob("*") if p.suffix in (".png", ".jpg"))
    return listed("calib"), listed("test")


def spread(values, n):
    """n of the values, evenly spaced."""
    n = min(n, len(values))
    index = [i * len(values) // n for i in range(n)]
    return values[index] if isinstance(values, np.ndarray) else [values[i] for i in index]


def picture(path, rule):
    """[C, H, W] float32 of a picture, by the preprocessing of models.json."""
    from PIL import Image
    order = rule["channel_order"]
    image = Image.open(path).convert("YCbCr" if order == "Y" else "RGB")
    height, width = rule["size"]
    resize = rule.get("resize") or {}
    if "letterbox" in resize:
        scale = min(height / image.height, width / image.width)
        inner = image.resize((round(image.width * scale), round(image.height * scale)), Image.BILINEAR)
        image = Image.new("RGB", (width, height), (resize["letterbox"],) * 3)
        image.paste(inner, (0, 0))
    elif "exact" in resize or min(image.size) < min(height, width):
        image = image.resize((width, height), Image.BILINEAR)
    elif "shorter_side" in resize and min(image.size) != resize["shorter_side"]:
        scale = resize["shorter_side"] / min(image.size)
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.BILINEAR)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    values = np.asarray(image.crop((left, top, left + width, top + height)), dtype=np.float32)
    values = values[..., :1] if order == "Y" else values[..., ::-1] if order == "BGR" else values
    values = (values - np.float32(rule["mean"])) / np.float32(rule["std"])
    return values.transpose(2, 0, 1)
