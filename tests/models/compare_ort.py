"""Float engine against ONNX Runtime: compare_ort.py FLOAT_DUMP [--time RUNS] [NAME | FILE.onnx ...]

For every network, at batch 1 and 8, with and without graph passes: the largest difference of any output, as a fraction
of that output's range, must be at most 1e-4. --time also prints the fastest of RUNS single-threaded runs of both (turn
by turn) and their ratio. Networks come from $NARROW_TESTBED/models; exit code 77 where they or onnxruntime are missing.
"""
import os
import subprocess
import sys
import tempfile
import time

NETWORKS = ["resnet8-cifar10", "resnet20-cifar10", "resnet32-cifar10", "resnet56-cifar10",
            "mobilenetv1-0.25-imagenet", "mobilenetv2-imagenet", "mobilenetv2-cifar10", "unet-camvid",
            "deeplabv3-mnv2-voc", "fastestdet-coco", "face-rfb320", "yolox-nano-coco"]
LIMIT = 1e-4


def skip(why):
    print("SKIP: compare_ort:", why)
    sys.exit(77)


try:
    import numpy as np
    import onnxruntime as ort
except ImportError as error:
    skip("%s; set NARROW_PYTHON to a Python that has onnxruntime" % error)


def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def inputs_of(net, batch):
    """Random inputs, or None if the network's batch is fixed to something else."""
    generator = np.random.default_rng(7)
    feeds = {}
    for item in net.get_inputs():
        if isinstance(item.shape[0], int) and item.shape[0] != batch:
            return None
        feeds[item.name] = generator.standard_normal([batch] + list(item.shape[1:])).astype(np.float32)
    return feeds


def dump(program, path, batch, feeds, folder, flags):
    source, result = os.path.join(folder, "in.f32"), os.path.join(folder, "out.f32")
    with open(source, "wb") as file:
        for x in feeds.values():
            file.write(x.tobytes())
    done = subprocess.run([program, path, str(batch), source, result] + flags, capture_output=True, text=True)
    if done.returncode:
        return None, done.stderr.strip()
    return np.fromfile(result, np.float32), done.stdout


def difference(values, expected):
    """Largest error of any output, relative to that output's range."""
    worst, offset = 0.0, 0
    for y in expected:
        part = values[offset:offset + y.size].reshape(y.shape)
        offset += y.size
        span = float(y.max() - y.min()) or 1.0
        worst = max(worst, float(np.abs(part - y).max()) / span)
    assert offset == values.size, "number of output values"
    return worst


def times(program, path, net, feeds, batch, folder, passes, runs):
    best_ort = best_own = float("inf")
    for _ in range(3):
        for _ in range(max(1, runs // 3)):
            start = time.perf_counter()
            net.run(None, feeds)
            best_ort = min(best_ort, (time.perf_counter() - start) * 1e3)
        _, text = dump(program, path, batch, feeds, folder, passes + ["--time", str(max(1, runs // 3))])
        best_own = min(best_own, float(text.split()[0]))
    return best_own, best_ort


def check(program, path, runs):
    net, failures = session(path), 0
    name = os.path.basename(path)[:-5]
    for batch in (1, 8):
        feeds = inputs_of(net, batch)
        if feeds is None:
            continue
        expected = net.run(None, feeds)
        for passes in ([], ["--passes"]):
            label = "%-28s batch %d %-8s" % (name, batch, "passes" if passes else "raw")
            with tempfile.TemporaryDirectory() as folder:
                values, text = dump(program, path, batch, feeds, folder, passes)
                if values is None:
                    print(label, "FAILED:", text)
                    failures += 1
                    continue
                worst = difference(values, expected)
                line = "%s max error %.2e of the range" % (label, worst)
                if runs:
                    line += "   %.3f ms, onnxruntime %.3f ms" % times(program, path, net, feeds, batch, folder, passes,
                                                                   runs)
                    numbers = line.split()
                    line += ", ratio %.2f" % (float(numbers[-5]) / float(numbers[-2]))
                print(line + ("" if worst <= LIMIT else "   TOO LARGE"), flush=True)
                failures += not worst <= LIMIT
    return failures


def main():
    arguments = sys.argv[2:]
    runs = 0
    if "--time" in arguments:
        at = arguments.index("--time")
        runs = int(arguments[at + 1])
        del arguments[at:at + 2]
    testbed = os.environ.get("NARROW_TESTBED", "../shared/testbed")
    paths = [a if a.endswith(".onnx") else os.path.join(testbed, "models", a + ".onnx") for a in arguments or NETWORKS]
    missing = [p for p in paths if not os.path.exists(p)]
    if missing:
        skip("%s is missing; set NARROW_TESTBED" % missing[0])
    return 1 if sum(check(sys.argv[1], path, runs) for path in paths) else 0


if __name__ == "__main__":
    sys.exit(main())
