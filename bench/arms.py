# SPDX-License-Identifier: Apache-2.0
"""What is timed: one arm per tool and precision. `prepare` makes the files an arm loads, with the tool's own quantizer;
`load` returns an Arm whose run() is one inference on the sample last given to bind().

Every tool is called through the leanest call its Python binding offers, with inputs and outputs bound beforehand, so
that tiny networks are not charged for Python more than can be helped.
"""
import contextlib
import ctypes
import importlib.util
import json
import os
import subprocess
import sys

import numpy as np

import machine


class Arm:
    """bind(x): takes a sample [1, ...]; run(): one inference; output(): the first output of the last run."""

    def __init__(self, bind, run, output, detail=None, keep=()):
        self.bind, self.run, self.output, self.detail, self.keep = bind, run, output, detail, keep


def fresh(path, *sources):
    """Whether `path` exists and is newer than all sources."""
    return os.path.exists(path) and all(os.path.getmtime(path) > os.path.getmtime(s) for s in sources)


# ONNX Runtime

def prepare_onnxruntime_int8(network):
    """Static quantization to QDQ, weights per channel; of 7 bits (reduce_range) where the CPU lacks VNNI, as its
    documentation advises: its products of two saturate there, and with 8 bits its answers are wrong."""
    from onnxruntime import quantization as q
    from onnxruntime.quantization.shape_inference import quant_pre_process
    out, pre = network.path("onnxruntime-int8.onnx"), network.path("onnxruntime-pre.onnx")
    if fresh(out, network.path("calib.npy")):
        return
    quant_pre_process(network.path("fixed.onnx"), pre, skip_symbolic_shape=True)

    class Reader(q.CalibrationDataReader):
        def __init__(self):
            self.rows = iter(np.load(network.path("calib.npy")))

        def get_next(self):
            row = next(self.rows, None)
            return None if row is None else {network.input_name: row[None]}

    q.quantize_static(pre, out + ".part", Reader(), quant_format=q.QuantFormat.QDQ, per_channel=True,
                      weight_type=q.QuantType.QInt8, activation_type=q.QuantType.QUInt8,
                      reduce_range=machine.needs_reduced_range())
    os.replace(out + ".part", out)


def load_onnxruntime(network, path, threads):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(network.path(path), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for output in session.get_outputs():
        binding.bind_output(output.name)

    def bind(x):
        binding.bind_cpu_input(network.input_name, x)

    return Arm(bind, lambda: session.run_with_iobinding(binding), lambda: binding.copy_outputs_to_cpu()[0])


# OpenVINO

def prepare_openvino_int8(network):
    """NNCF's post-training quantization with its mixed preset."""
    import nncf
    import openvino
    out = network.path("openvino-int8.xml")
    if fresh(out, network.path("calib.npy")):
        return
    model = openvino.Core().read_model(network.path("fixed.onnx"))
    rows = [row[None] for row in np.load(network.path("calib.npy"))]
    model = nncf.quantize(model, nncf.Dataset(rows), subset_size=len(rows), preset=nncf.QuantizationPreset.MIXED)
    openvino.save_model(model, out, compress_to_fp16=False)


def load_openvino(network, path, threads):
    import openvino
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(network.path(path)), "CPU", {
        "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False})
    request = compiled.create_infer_request()
    nothing = {}

    def bind(x):
        request.set_input_tensor(openvino.Tensor(x, shared_memory=True))
        bind.keep = x

    return Arm(bind, lambda: request.infer(nothing, share_outputs=True),
               lambda: np.array(request.get_output_tensor(0).data), openvino_kernels(compiled), compiled)


def openvino_kernels(compiled):
    """How many of its convolutions and matrix products run by which kernel, as OpenVINO reports it."""
    counts = {}
    for node in compiled.get_runtime_model().get_ordered_ops():
        info = node.get_rt_info()
        if info["layerType"].astype(str) in ("Convolution", "FullyConnected", "MatMul", "Deconvolution"):
            kernel = info["primitiveType"].astype(str)
            counts[kernel] = counts.get(kernel, 0) + 1
    return counts


# ncnn (float; its int8 tools are not part of its Python package)

def prepare_ncnn_float(network):
    out = network.path("ncnn.param")
    if fresh(out, network.path("fixed.onnx")):
        return
    shape = "[" + ",".join(map(str, network.shape)) + "]f32"
    package = importlib.util.find_spec("pnnx")  # not imported: it would want torch; its program does not
    if not package:
        raise RuntimeError("the package pnnx is not installed")
    program = os.path.join(package.submodule_search_locations[0], "pnnx")
    command = [program, "fixed.onnx", "inputshape=" + shape, "fp16=0", "ncnnparam=ncnn.param", "ncnnbin=ncnn.bin"]
    done = subprocess.run(command, cwd=network.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode or not os.path.exists(out):
        raise RuntimeError(f"pnnx cannot convert it (exit code {done.returncode})")


def load_ncnn(network, threads):
    import ncnn
    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = net.opt.use_bf16_storage = False
    if net.load_param(network.path("ncnn.param")) or net.load_model(network.path("ncnn.bin")):
        raise RuntimeError("ncnn cannot load what pnnx made of it")
    source, sinks = net.input_names()[0], list(net.output_names())
    state = {}

    def bind(x):
        state["input"] = ncnn.Mat(np.ascontiguousarray(x[0]))
        state["keep"] = x

    def run():
        extractor = net.create_extractor()
        extractor.input(source, state["input"])
        results = [extractor.extract(name) for name in sinks]
        if results[0][0]:
            raise RuntimeError(f"ncnn cannot run it (code {results[0][0]})")
        state["output"] = results[0][1]

    return Arm(bind, run, lambda: np.array(state["output"])[None], keep=net)


# Narrow

def prepare_narrow(network, narrow, name, flags):
    """`narrow quantize` with its defaults and the same calibration samples as the others.

    Random weights are rounded to the nearest: there is no accuracy to look after, and vgg16 has 25,088 inputs in one row.
    """
    out = network.path(name + ".nw")
    if fresh(out, narrow, network.path("calib.npy")):
        return
    if network.random:
        flags = [*flags, "--weight-method", "plain"]
    command = [narrow, "quantize", network.onnx, out, "--calib", network.path("calib.npy"), *flags]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(" ".join(done.stderr.split()).removeprefix("narrow: "))


class NarrowInput(ctypes.Structure):
    _fields_ = [("values", ctypes.c_void_p), ("pixels", ctypes.c_void_p)]


def load_narrow(network, name, threads, library, narrow):
    """libnarrow.so through ctypes, float values in, float values out."""
    nw = ctypes.CDLL(library)
    nw.nw_threads_create.restype = ctypes.c_void_p
    nw.nw_threads_create.argtypes = [ctypes.c_size_t]
    nw.nw_engine_run.argtypes = [ctypes.c_void_p] * 4
    error = ctypes.create_string_buffer(512)
    model, engine = ctypes.c_void_p(), ctypes.c_void_p()
    path = network.path(name + ".nw")
    if (nw.nw_model_read(ctypes.byref(model), path.encode(), error) or
            nw.nw_engine_create(ctypes.byref(engine), model, None, error)):
        raise RuntimeError(error.value.decode())
    import onnx
    graph = onnx.load(network.path("fixed.onnx"), load_external_data=False).graph
    shapes = [[d.dim_value for d in o.type.tensor_type.shape.dim] for o in graph.output]
    outputs = [np.empty(shape, np.float32) for shape in shapes]
    pointers = (ctypes.c_void_p * len(outputs))(*[o.ctypes.data for o in outputs])
    team = ctypes.c_void_p(nw.nw_threads_create(threads) if threads > 1 else None)
    source = NarrowInput()
    input_address = ctypes.c_void_p(ctypes.addressof(source))

    def bind(x):
        source.values = x.ctypes.data
        bind.keep = x

    def run():
        if nw.nw_engine_run(engine, input_address, pointers, team):
            raise RuntimeError("nw_engine_run failed")

    return Arm(bind, run, lambda: outputs[0].copy(), narrow_kernels(narrow, path), (source, pointers))


def narrow_kernels(narrow, path):
    """Share of the multiply-accumulates per kernel, total of them, kernel family."""
    command = [narrow, "bench", path, "--runs", "1", "--json"]
    report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    shares = {}
    for node in report["nodes"]:
        if node["macs"]:
            shares[node["kernel"]] = shares.get(node["kernel"], 0) + node["macs"] / report["macs"]
    return {"isa": report["isa"], "macs": report["macs"], "kernels": shares}


NARROW_ARMS = {"narrow W8A8": [], "narrow W7A7": ["--weights", "7", "--acts", "7"]}
PEER_ARMS = ["onnxruntime float", "onnxruntime int8", "openvino float", "openvino int8", "ncnn float"]
ARMS = list(NARROW_ARMS) + PEER_ARMS


def prepare(arm, network, narrow):
    """Makes the files of one arm; raises with a sentence where the tool cannot."""
    with contextlib.redirect_stdout(sys.stderr):
        if arm in NARROW_ARMS:
            prepare_narrow(network, narrow, arm.replace(" ", "-"), NARROW_ARMS[arm])
        elif arm == "onnxruntime int8":
            prepare_onnxruntime_int8(network)
        elif arm == "openvino int8":
            prepare_openvino_int8(network)
        elif arm == "ncnn float":
            prepare_ncnn_float(network)


def load(arm, network, threads, library, narrow):
    """An Arm that is ready to run."""
    tool, precision = arm.split()
    if tool == "narrow":
        return load_narrow(network, arm.replace(" ", "-"), threads, library, narrow)
    if tool == "ncnn":
        return load_ncnn(network, threads)
    if tool == "openvino":
        return load_openvino(network, "openvino-int8.xml" if precision == "int8" else "fixed.onnx", threads)
    return load_onnxruntime(network, "onnxruntime-int8.onnx" if precision == "int8" else "fixed.onnx", threads)
