#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Narrow's reader of pictures against Pillow and NumPy, byte for byte.

    compare_pillow.py DUMP_IMAGE [--quick]     compare; DUMP_IMAGE is the program built from dump_image.c
    compare_pillow.py --golden                 print the table of test_data_resize.c

Pictures are generated; those of the test bed are added if NARROW_TESTBED leads to one. Exit code 77: Pillow or NumPy is
missing.
"""
import json, os, random, subprocess, sys, tempfile, zlib

try:
    import numpy as np
    import PIL
    from PIL import Image
except ImportError as e:
    print("SKIP: compare_pillow.py needs Pillow and NumPy:", e)
    sys.exit(77)

FILTERS = {"nearest": Image.NEAREST, "box": Image.BOX, "bilinear": Image.BILINEAR, "hamming": Image.HAMMING,
           "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}


def resize(im, size, f):
    """Image.resize with the columns last. Pillow from 13 on takes them first where the height shrinks much more than the
    width; two calls, one per direction, restore the order of all earlier versions. (Each pass rounds to 8 bits anyway.)"""
    (w, h), (ow, oh) = im.size, size
    if f != Image.NEAREST and h > oh and h - oh > 2 * (w - ow):
        im = im.resize((ow, h), f)
    return im.resize(size, f)


class Server:
    def __init__(self, program):
        self.p = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, *fields):
        """(bytes, (a, b, c)), or (None, sentence) for an error."""
        self.p.stdin.write(("\t".join(map(str, fields)) + "\n").encode())
        self.p.stdin.flush()
        head = self.p.stdout.readline().decode().split(" ", 2)
        if head[0] == "error":
            return None, head[2].strip()
        if head[0] != "ok":
            raise SystemExit("dump_image died on " + repr(fields))
        return self.p.stdout.read(int(head[1])), tuple(map(int, head[2].split()))


class Count:
    def __init__(self):
        self.n, self.bad = 0, 0

    def check(self, good, *what):
        self.n += 1
        if not good:
            self.bad += 1
            if self.bad <= 20:
                print("DIFFERS:", *what)


def pattern(h, w, seed):
    """Noise, ramps and hard edges in one picture, by integer arithmetic that test_data_resize.c repeats."""
    y, x, c = np.meshgrid(np.arange(h, dtype="u8"), np.arange(w, dtype="u8"), np.arange(3, dtype="u8"), indexing="ij")
    v = x * 2654435761 + y * 2246822519 + c * 3266489917 + seed * 668265263 & 0xffffffff
    v = ((v ^ v >> 15) * 2246822519 & 0xffffffff) >> 24
    ramp = (x * 7 + y * 5 + c * 40) & 255
    return np.where((x // 3 + y // 2) % 3 == 0, v, np.where((x // 3 + y // 2) % 3 == 1, ramp, 255 * (x & 1))).astype("u1")


GOLDEN = [(1, 1, 3, 2), (2, 3, 7, 5), (5, 4, 1, 1), (16, 9, 16, 4), (9, 16, 4, 16), (37, 53, 24, 31), (24, 31, 53, 37),
          (100, 3, 11, 40), (64, 64, 63, 65)]


def golden():
    for h, w, oh, ow in GOLDEN:
        im = Image.fromarray(pattern(h, w, h * 1000 + w))
        row = ", ".join("0x%08x" % zlib.crc32(resize(im, (ow, oh), FILTERS[f]).tobytes()) for f in FILTERS)
        print("    {%d, %d, %d, %d, {%s}}," % (h, w, oh, ow, row))


def pictures(folder):
    """Files of every kind a folder of pictures may hold."""
    rng = np.random.default_rng(1)
    out = []

    def save(im, name, **options):
        path = os.path.join(folder, name)
        im.save(path, **options)
        out.append(path)

    for h, w in (1, 1), (1, 17), (17, 1), (2, 2), (31, 47), (64, 64), (133, 90):
        rgb = Image.fromarray(pattern(h, w, 1))
        smooth = rgb.resize((w, h), Image.BICUBIC).resize((max(1, w // 3), max(1, h // 3))).resize((w, h), Image.BICUBIC)
        for name, im in (("noise", rgb), ("smooth", smooth)):
            tag = "%s-%dx%d" % (name, h, w)
            for quality in 30, 75, 95, 100:
                for sub in 0, 1, 2:
                    save(im, "%s-q%d-s%d.jpg" % (tag, quality, sub), quality=quality, subsampling=sub)
            save(im, tag + "-progressive.jpg", progressive=True)
            save(im, tag + "-progressive444.jpg", progressive=True, subsampling=0, quality=90)
            save(im, tag + "-restart.jpg", restart_marker_blocks=1)
            save(im, tag + "-rgb.jpg", keep_rgb=True)
            save(im.convert("L"), tag + "-grey.jpg")
            save(im.convert("CMYK"), tag + "-cmyk.jpg")
            save(im, tag + ".png")
            save(im.convert("L"), tag + "-l.png")
            save(im.convert("1"), tag + "-1.png")
            save(im.convert("P"), tag + "-p.png")
            for colours, bits in (2, 1), (4, 2), (16, 4), (200, 8):
                save(im.quantize(colours), "%s-p%d.png" % (tag, colours), bits=bits)
            save(im.quantize(16), tag + "-ptrns.png", transparency=3)
            rgba = np.concatenate([np.asarray(im), rng.integers(0, 256, (h, w, 1), "u1")], -1)
            save(Image.fromarray(rgba), tag + "-rgba.png")
            save(Image.fromarray(rgba).convert("LA"), tag + "-la.png")
            save(im, tag + "-trns.png", transparency=(0, 0, 0))
            grey16 = rng.integers(0, 65536, (h, w), "u2") >> rng.integers(0, 16, (h, w), "u2")
            save(Image.fromarray(grey16.astype("u2")), tag + "-16.png")
    out += raw_pngs(folder, rng)
    return out


def raw_pngs(folder, rng):
    """PNGs that Pillow cannot write: every colour type and depth, interlaced too, palettes shorter than their indices."""
    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    def passes(h, w, interlaced):
        if not interlaced:
            return [(h, w)]
        steps = [(0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1)]
        return [(len(range(y, h, dy)), len(range(x, w, dx))) for y, dy, x, dx in steps]

    out = []
    for colour, samples in (0, 1), (2, 3), (3, 1), (4, 2), (6, 4):
        for depth in {0: (1, 2, 4, 8, 16), 3: (1, 2, 4, 8)}.get(colour, (8, 16)):
            for interlaced in 0, 1:
                h, w = 13, 19
                short = 256 if int(PIL.__version__.split(".")[0]) < 10 else 100 if depth == 8 else 3
                rows = b""
                for ph, pw in passes(h, w, interlaced):
                    if ph and pw:
                        for _ in range(ph):
                            rows += bytes([int(rng.integers(0, 5))]) + rng.integers(0, 256, (pw * samples * depth + 7) // 8, "u1").tobytes()
                data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", w.to_bytes(4, "big") + h.to_bytes(4, "big") + bytes([depth, colour, 0, 0, interlaced]))
                data += chunk(b"gAMA", (45455).to_bytes(4, "big")) + chunk(b"tEXt", b"Comment\0x")
                if colour == 3: # shorter than its indices: black since Pillow 10
                    data += chunk(b"PLTE", rng.integers(0, 256, 3 * min(1 << depth, short), "u1").tobytes())
                    data += chunk(b"tRNS", b"\x10\x20")
                data += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
                out.append(os.path.join(folder, "raw-c%d-d%d-i%d.png" % (colour, depth, interlaced)))
                open(out[-1], "wb").write(data)
    return out


def compare_decode(server, count, files):
    for f in files:
        got, shape = server.ask("decode", f)
        im = Image.open(f)
        want = np.asarray(im.convert("RGB"))
        count.check(got == want.tobytes(), "decode", f, shape)
        if f.endswith(".png"):
            got, shape = server.ask("map", f)
            if im.mode in ("1", "L", "P"):
                count.check(got == np.asarray(im).astype("u1").tobytes(), "map", f, im.mode, shape)
            else:
                count.check(got is None, "map must be refused", f, im.mode)


def compare_resize(server, count, folder, quick):
    rnd = random.Random(2)
    sizes = [(1, 1), (1, 2), (2, 1), (3, 3), (5, 7), (32, 32), (31, 47), (64, 48), (97, 101), (256, 1), (1, 256)]
    if not quick:
        sizes += [(224, 224), (333, 500), (rnd.randint(100, 700), rnd.randint(100, 700)), (1200, 37)]
    for h, w in sizes:
        path = os.path.join(folder, "resize-%dx%d.png" % (h, w))
        im = Image.fromarray(pattern(h, w, 7))
        im.save(path)
        targets = [(h, w), (h, w + 1), (h + 1, w), (1, 1), (max(1, h // 2), max(1, w // 2)), (2 * h, 3 * w), (224, 224),
                   (1, w), (h, 1)] + [(rnd.randint(1, 300), rnd.randint(1, 300)) for _ in range(6 if quick else 25)]
        for oh, ow in targets:
            for name, f in FILTERS.items():
                got, shape = server.ask("resize", path, oh, ow, name)
                count.check(got == resize(im, (ow, oh), f).tobytes(), "resize", name, (h, w), "->", (oh, ow))


def prepare(im, p):
    """What preprocess.h says, in Pillow. For resize exact and shorter_side it is check_float.py's read_image."""
    im = im.convert("RGB")
    h, w = p["size"]
    r = p.get("resize") or {}
    f = FILTERS[p.get("interpolation", "bilinear")]
    if "exact" in r:
        im = resize(im, tuple(r["exact"][::-1]), f)
    elif "shorter_side" in r and min(im.size) != r["shorter_side"]:
        s = r["shorter_side"] / min(im.size)
        im = resize(im, (round(im.size[0] * s), round(im.size[1] * s)), f)
    elif "letterbox" in r:
        s = min(h / im.size[1], w / im.size[0])
        small = resize(im, (max(1, int(im.size[0] * s)), max(1, int(im.size[1] * s))), f)
        im = Image.new("RGB", (w, h), (r["letterbox"],) * 3)
        im.paste(small, (0, 0))
    if p.get("crop") == "center":
        left, top = (im.size[0] - w) // 2, (im.size[1] - h) // 2
        im = im.crop((left, top, left + w, top + h))
    order = p.get("channel_order", "RGB")
    if order == "Y":
        return np.asarray(im.convert("YCbCr"))[..., :1]
    if order == "L":
        return np.asarray(im.convert("L"))[..., None]
    return np.asarray(im)[..., ::-1 if order == "BGR" else 1]


def normalize(x, p):
    x = (x.astype("f4") - np.array(p.get("mean", 0), "f4")) / np.array(p.get("std", 1), "f4")
    return np.ascontiguousarray(x.transpose(2, 0, 1), "f4")


MEAN = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}
PREPROCESS = [
    dict(size=[96, 96], resize={"exact": [96, 96]}, **MEAN),
    dict(size=[224, 224], resize={"shorter_side": 256}, crop="center", mean=[127.5] * 3, std=[127.5] * 3),
    dict(size=[33, 20], resize={"shorter_side": 37}, crop="center", interpolation="bicubic", channel_order="BGR", **MEAN),
    dict(size=[20, 20], resize={"exact": [31, 27]}, crop="center", interpolation="lanczos", channel_order="Y", mean=[0], std=[255]),
    dict(size=[28, 28], resize={"exact": [28, 28]}, interpolation="box", channel_order="L", mean=[33.3], std=[78.6]),
    dict(size=[416, 416], resize={"letterbox": 114}, **MEAN),
    dict(size=[100, 37], resize={"letterbox": 0}, interpolation="hamming", **MEAN),
]


def compare_prepare(server, count, files):
    for f in files:
        im = Image.open(f)
        for p in PREPROCESS:
            want = prepare(im, p)
            got, shape = server.ask("prepare", f, json.dumps(p))
            count.check(got == want.tobytes(), "prepare", f, p, shape)
            got, shape = server.ask("tensor", f, json.dumps(p))
            count.check(got == normalize(want, p).tobytes(), "tensor", f, p, shape)


def compare_luma(server, count, folder):
    """All 2^24 colours."""
    v = np.arange(1 << 24, dtype="u4")
    rgb = np.stack([v >> 16, v >> 8 & 255, v & 255], -1).astype("u1").reshape(4096, 4096, 3)
    path = os.path.join(folder, "colours.png")
    Image.fromarray(rgb).save(path, compress_level=1)
    for order in "YL":
        p = dict(size=[4096, 4096], channel_order=order)
        count.check(server.ask("prepare", path, json.dumps(p))[0] == prepare(Image.open(path), p).tobytes(), "luma", order)


def compare_arrays(server, count, folder):
    rng = np.random.default_rng(3)
    p = {"size": [4, 5], "channel_order": None, "mean": [0.3], "std": [1.7]}
    for t in "?", "u1", "i1", "<u2", ">u2", "<i2", ">i2", "<u4", "<i4", ">i4", "<u8", "<i8", "<f2", ">f2", "<f4", ">f4", "<f8", ">f8":
        x = (rng.standard_normal((3, 2, 4, 5)) * 100).astype(t) if "f" in t else \
            np.frombuffer(rng.bytes(3 * 2 * 4 * 5 * np.dtype(t).itemsize), t).reshape(3, 2, 4, 5) if t != "?" else rng.random((3, 2, 4, 5)) < .5
        for kind in "npy", "npz", "packed.npz":
            f = os.path.join(folder, "a." + kind)
            if kind == "npy":
                np.save(f, x)
            else:
                (np.savez if kind == "npz" else np.savez_compressed)(f, y=np.array([5, 0, 2]), x=x)
            shape = server.ask("open", f, "", json.dumps(p))[1]
            count.check(shape == (3, 6 if kind != "npy" else 0, 40), "open", kind, t, shape)
            for i in range(3):
                want = ((x[i].astype("f4") - np.float32(.3)) / np.float32(1.7)).astype("f4")
                count.check(server.ask("sample", i)[0] == want.tobytes(), "array", kind, t)
                if kind != "npy":
                    count.check(server.ask("label", i)[1][0] == (6, 1, 3)[i], "label", kind, t)


def compare_testbed(server, count, testbed, quick):
    models = {m["name"]: m for m in json.load(open(testbed + "/models.json"))["models"]}
    for f in [os.path.join(d, n) for s in ("coco", "faces") for d in [testbed + "/data/samples/" + s] for n in sorted(os.listdir(d))]:
        for m in models.values():
            p = m["preprocess"]
            if p["channel_order"] and (p["resize"] or p["crop"]):
                want = normalize(prepare(Image.open(f), p), p)
                count.check(server.ask("tensor", f, json.dumps(p))[0] == want.tobytes(), "test bed", m["name"], f)

    def compare_set(name, path, labels, want):
        """want: list of (tensor, class or None)"""
        p = models[name]["preprocess"]
        _, shape = server.ask("open", path, labels, json.dumps(p))
        count.check(shape[0] == len(want), "count of", path, shape)
        for i in range(0, len(want), 7 if quick else 1):
            tensor, label = want[i]() if callable(want[i]) else want[i]
            count.check(server.ask("sample", i)[0] == tensor.tobytes(), "sample", path, i)
            count.check(server.ask("label", i)[1][0] == (0 if label is None else label + 1), "label", path, i)

    def lazily(path, p, label):
        return lambda: (normalize(prepare(Image.open(path), p), p), label)

    d = testbed + "/data/"
    for s in ("cifar10-png/test", "cifar10-png/calib", "cifar10/test", "cifar10/calib"):
        p = models["resnet20-cifar10"]["preprocess"]
        rows = [lazily("%s%s/%s/%s" % (d, s, k, f), p, c) for c, k in enumerate(sorted(os.listdir(d + s)))
                for f in sorted(os.listdir("%s%s/%s" % (d, s, k)))]
        compare_set("resnet20-cifar10", d + s, "", rows)
    for s in "test", "calib":
        p = models["mobilenetv2-imagenet"]["preprocess"]
        rows = [r.strip().split(",") for r in open(d + "imagenet/" + s + ".csv")][1:]
        compare_set("mobilenetv2-imagenet", d + "imagenet/" + s + ".csv", "",
                    [lazily(d + "imagenet/" + s + "/" + f, p, int(c)) for f, c in rows])
        x = np.load(d + "kws01/" + s + ".npy")
        y = [int(r.split(",")[1]) for r in list(open(d + "kws01/" + s + ".csv"))[1:]]
        for path, labels in ("npy", ""), ("csv", ""), ("npy", d + "kws01/" + s + ".csv"):
            compare_set("kws-dscnn", d + "kws01/" + s + "." + path, labels, list(zip(x, y)))
        names = sorted(os.listdir(d + "camvid/" + s))
        p = models["unet-camvid"]["preprocess"]
        compare_set("unet-camvid", d + "camvid/" + s, d + "camvid/" + s + "_labels",
                    [lazily(d + "camvid/" + s + "/" + f, p, None) for f in names])
        for i, f in enumerate(names):
            count.check(server.ask("label-map", i)[0] == np.asarray(Image.open(d + "camvid/" + s + "_labels/" + f)).tobytes(), "map", f)
    x = np.load(d + "ad01/normal_id_01_00000000.npy")
    compare_set("ad-autoencoder", d + "ad01/normal_id_01_00000000.npy", "", [(v, None) for v in x])
    p = models["deeplabv3-mnv2-voc"]["preprocess"]
    compare_set("deeplabv3-mnv2-voc", d + "samples/deeplab/input.jpg", d + "samples/deeplab/expected_classes.png",
                [lazily(d + "samples/deeplab/input.jpg", p, None)])
    count.check(server.ask("label-map", 0)[0] == np.asarray(Image.open(d + "samples/deeplab/expected_classes.png")).tobytes(), "map")


def main():
    arguments = [a for a in sys.argv[1:] if not a.startswith("--")]
    if "--golden" in sys.argv:
        return golden()
    quick = "--quick" in sys.argv
    server = Server(arguments[0])
    total = Count()
    with tempfile.TemporaryDirectory() as folder:
        files = pictures(folder)
        some = [f for f in files if "31x47" in f or "133x90" in f][:: 4 if quick else 1]
        steps = [("decode", lambda c: compare_decode(server, c, files)),
                 ("resize", lambda c: compare_resize(server, c, folder, quick)),
                 ("prepare", lambda c: compare_prepare(server, c, some)),
                 ("luma", lambda c: compare_luma(server, c, folder)),
                 ("arrays", lambda c: compare_arrays(server, c, folder))]
        testbed = os.environ.get("NARROW_TESTBED", os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../shared/testbed"))
        if os.path.exists(testbed + "/models.json"):
            steps.append(("test bed", lambda c: compare_testbed(server, c, testbed, quick)))
        else:
            print("SKIP: test bed: NARROW_TESTBED leads to none")
        for name, step in steps:
            count = Count()
            step(count)
            print("%-9s %6d comparisons, %d differ" % (name, count.n, count.bad), flush=True)
            total.n, total.bad = total.n + count.n, total.bad + count.bad
    print("Pillow %s, NumPy %s: %d comparisons, %d differ" % (PIL.__version__, np.__version__, total.n, total.bad))
    sys.exit(1 if total.bad else 0)


if __name__ == "__main__":
    main()
