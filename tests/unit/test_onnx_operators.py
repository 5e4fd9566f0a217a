"""Single operators through importer, passes and float engine against ONNX Runtime.

    test_onnx_operators.py FLOAT_DUMP          compare; exit code 77 without onnx or onnxruntime
    test_onnx_operators.py --write FOLDER      write the models alone (seeds for fuzz/fuzz_onnx.c)

Every case is run as imported and after the passes: largest difference at most 1e-5 of the output's range.
"""
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError as error:
    print("SKIP: test_onnx_operators:", error)
    sys.exit(77)

LIMIT = 1e-5
CASES = {}
generator = np.random.default_rng(11)


def random(*shape):
    return generator.standard_normal(shape).astype(np.float32)


def model(nodes, shape, constants=(), opset=13, outputs=("y",)):
    """Nodes are (op, inputs, outputs, attributes); the input is x, constants are (name, array)."""
    made = [helper.make_node(op, inputs, outs, name="n%d" % i, **attributes)
            for i, (op, inputs, outs, attributes) in enumerate(nodes)]
    graph = helper.make_graph(
        made, "case", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)


def case(name, *arguments, **keywords):
    CASES[name] = model(*arguments, **keywords)


def one(name, op, shape, constants=(), opset=13, **attributes):
    case(name, [(op, ["x"] + [c[0] for c in constants], ["y"], attributes)], shape, constants, opset)


N = ["N", 4, 9, 11]
W = ("w", random(6, 4, 3, 3))
B = ("b", random(6))
one("conv", "Conv", N, [W, B], pads=[1, 0, 2, 1], strides=[2, 1])
one("conv_dilated", "Conv", N, [W], pads=[2, 2, 2, 2], dilations=[2, 2])
one("conv_groups", "Conv", N, [("w", random(6, 2, 3, 2)), B], group=2)
one("conv_same_upper", "Conv", N, [("w", random(6, 4, 4, 3))], auto_pad="SAME_UPPER", strides=[2, 2])
one("conv_same_lower", "Conv", N, [("w", random(6, 4, 4, 2))], auto_pad="SAME_LOWER", strides=[3, 1])
one("conv_valid", "Conv", N, [W], auto_pad="VALID", strides=[2, 2])
T = ("w", random(4, 5, 3, 3))
one("conv_transpose", "ConvTranspose", N, [T, ("b", random(5))], strides=[2, 2], pads=[1, 1, 1, 1])
one("conv_transpose_padding", "ConvTranspose", N, [T], strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1])
one("conv_transpose_groups", "ConvTranspose", N, [("w", random(4, 3, 2, 3))], group=2, strides=[2, 3], dilations=[2, 1])
one("conv_transpose_shape", "ConvTranspose", N, [T], strides=[2, 2], output_shape=[18, 22])
one("conv_transpose_same", "ConvTranspose", N, [T], strides=[2, 2], auto_pad="SAME_UPPER")
one("gemm", "Gemm", ["N", 7], [("w", random(7, 5)), ("b", random(5))], alpha=0.5, beta=2.0)
one("gemm_transposed", "Gemm", ["N", 7], [("w", random(5, 7)), ("b", random(1, 5))], transB=1)
one("gemm_scalar_bias", "Gemm", ["N", 7], [("w", random(7, 5)), ("b", random(1))])
one("matmul", "MatMul", ["N", 7], [("w", random(7, 5))])
NORM = [("s", random(4)), ("o", random(4)), ("m", random(4)), ("v", np.abs(random(4)) + 0.1)]
one("batch_norm", "BatchNormalization", N, [(k, v.astype(np.float32)) for k, v in NORM], epsilon=1e-3)
for old in (9, 13):
    one("softmax_%d" % old, "Softmax", ["N", 3, 4, 5], opset=old)
    one("softmax_axis2_%d" % old, "Softmax", ["N", 3, 4, 5], opset=old, axis=2)
    one("softmax_last_%d" % old, "Softmax", ["N", 3, 4, 5], opset=old, axis=-1)
for name, attributes in {
        "plain": dict(kernel_shape=[3, 2], strides=[2, 2]),
        "pads": dict(kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        "ceil": dict(kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1),
        "ceil_pads": dict(kernel_shape=[2, 2], strides=[3, 3], pads=[1, 1, 1, 1], ceil_mode=1),
        "same": dict(kernel_shape=[3, 2], strides=[2, 2], auto_pad="SAME_UPPER")}.items():
    one("max_pool_" + name, "MaxPool", N, **attributes)
    one("average_pool_" + name, "AveragePool", N, **attributes)
one("max_pool_dilated", "MaxPool", N, kernel_shape=[2, 2], dilations=[2, 3], pads=[1, 1, 1, 1])
one("average_pool_count", "AveragePool", N, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
one("global_average", "GlobalAveragePool", N)
one("mean", "ReduceMean", N, axes=[2, 3])
one("mean_flat", "ReduceMean", N, axes=[-1, -2], keepdims=0)
one("mean_18", "ReduceMean", N, [("a", np.array([2, 3], np.int64))], opset=18)
for op in ("Relu", "Sigmoid", "Tanh", "Exp", "LeakyRelu", "HardSigmoid"):
    one(op.lower(), op, N)
one("hard_swish", "HardSwish", N, opset=14)
one("leaky", "LeakyRelu", N, alpha=0.3)
one("clip_6", "Clip", N, opset=10, min=-0.5, max=0.75)
one("clip_13", "Clip", N, [("lo", np.float32(-0.5)), ("hi", np.float32(0.75))])
one("pad_value", "Pad", N, [("p", np.array([0, 1, 2, 0, 0, 0, 1, 3], np.int64)), ("v", np.float32(0.5))])
one("pad_10", "Pad", N, opset=10, pads=[0, 0, 1, 2, 0, 0, 3, 4])
one("add_channel", "Add", N, [("c", random(4, 1, 1))])
one("mul_scalar", "Mul", N, [("c", np.float32(1.7))])
one("div_plane", "Div", N, [("c", np.abs(random(9, 11)) + 1)])
case("sub_from", [("Sub", ["c", "x"], ["y"], {})], N, [("c", random(4, 1, 1))])
case("div_by", [("Exp", ["x"], ["e"], {}), ("Div", ["c", "e"], ["y"], {})], N, [("c", random(4, 1, 1))])
case("slice_10", [("Slice", ["x", "s", "e", "a", "t"], ["y"], {})], N,
     [("s", np.array([1, -9], np.int64)), ("e", np.array([2**62, -1], np.int64)), ("a", np.array([1, 3], np.int64)),
      ("t", np.array([2, 3], np.int64))], opset=10)
one("slice_9", "Slice", N, opset=9, starts=[2], ends=[-1], axes=[2])
case("split", [("Split", ["x"], ["a", "b", "c"], dict(axis=2)), ("Concat", ["c", "a", "b"], ["y"], dict(axis=2))], N)
case("split_sizes", [("Split", ["x", "s"], ["a", "b"], dict(axis=1)), ("Concat", ["b", "a"], ["y"], dict(axis=1))], N,
     [("s", np.array([1, 3], np.int64))])
case("gather", [("Gather", ["x", "i"], ["g"], dict(axis=1)), ("Flatten", ["g"], ["y"], {})], N, [("i", np.int64(-1))])
one("transpose", "Transpose", N, perm=[0, 3, 1, 2])
one("unsqueeze_11", "Unsqueeze", ["N", 3], opset=11, axes=[1, -1])
one("squeeze_13", "Squeeze", ["N", 3, 1, 1], [("a", np.array([2, -1], np.int64))])
for mode in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"):
    one("linear_" + mode, "Resize", N,
        [("r", np.zeros(0, np.float32)), ("s", np.array([1, 1, 2, 3], np.float32))], mode="linear",
        coordinate_transformation_mode=mode)
SIZES = [("r", np.zeros(0, np.float32)), ("s", np.zeros(0, np.float32)), ("z", np.array([1, 4, 5, 20], np.int64))]
one("linear_sizes", "Resize", [1] + N[1:], SIZES, mode="linear", coordinate_transformation_mode="half_pixel")
for old, constants in ((10, []), (13, [("r", np.zeros(0, np.float32))])):
    one("nearest_%d" % old, "Resize", N, constants + [("s", np.array([1, 1, 2, 2], np.float32))], opset=old,
        mode="nearest")
one("upsample_9", "Upsample", N, [("s", np.array([1, 1, 2, 3], np.float32))], opset=9, mode="nearest")
one("upsample_linear", "Upsample", N, [("s", np.array([1, 1, 2, 2], np.float32))], opset=9, mode="linear")
case("flatten_by_shape", [
    ("Shape", ["x"], ["s"], {}), ("Gather", ["s", "zero"], ["n"], dict(axis=0)),
    ("Unsqueeze", ["n"], ["n1"], dict(axes=[0])), ("Concat", ["n1", "rest"], ["t"], dict(axis=0)),
    ("Reshape", ["x", "t"], ["y"], {})], N, [("zero", np.int64(0)), ("rest", np.array([-1], np.int64))], opset=11)

# what the passes change, in small
K = ("k", random(4, 4, 3, 3))
SAME = dict(pads=[1, 1, 1, 1])
case("residual", [("Conv", ["x", "k"], ["a"], SAME), ("Relu", ["a"], ["b"], {}), ("Conv", ["b", "k"], ["c"], SAME),
                  ("Add", ["c", "x"], ["d"], {}), ("Relu", ["d"], ["y"], {})], N, [K])
case("residual_of_two", [("Conv", ["x", "k"], ["a"], SAME), ("Conv", ["x", "l"], ["b"], SAME),
                         ("Add", ["a", "b"], ["y"], {})], N, [K, ("l", random(4, 4, 3, 3))])
case("sum_of_itself", [("Conv", ["x", "k"], ["a"], SAME), ("Add", ["a", "a"], ["y"], {})], N, [K])
case("normalised", [("Conv", ["x", "k"], ["a"], SAME), ("BatchNormalization", ["a", "s", "o", "m", "v"], ["b"], {}),
                    ("Mul", ["b", "f"], ["c"], {}), ("Sub", ["f", "c"], ["d"], {}), ("Relu", ["d"], ["y"], {})], N,
     [K, ("f", random(1, 4, 1, 1))] + [(k, v.astype(np.float32)) for k, v in NORM])
case("shared_weights", [("Conv", ["x", "k"], ["a"], SAME), ("Mul", ["a", "f"], ["b"], {}),
                        ("Conv", ["b", "k"], ["c"], SAME), ("Add", ["c", "f"], ["y"], {})], N,
     [K, ("f", random(4, 1, 1))])
case("transposed_factor", [("ConvTranspose", ["x", "w"], ["a"], dict(group=2, strides=[2, 2])),
                           ("Mul", ["a", "f"], ["b"], {}), ("Add", ["b", "f"], ["y"], {})], N,
     [("w", random(4, 3, 2, 2)), ("f", random(6, 1, 1))])
case("padded", [("Pad", ["x", "p"], ["a"], {}), ("Conv", ["a", "k"], ["b"], dict(strides=[2, 2])),
                ("AveragePool", ["a"], ["c"], dict(kernel_shape=[3, 3], strides=[2, 2])), ("Add", ["b", "c"], ["y"], {})],
     N, [K, ("p", np.array([0, 0, 0, 1, 0, 0, 2, 1], np.int64))])
case("flat_gemm", [("Relu", ["x"], ["a"], {}), ("Flatten", ["a"], ["b"], {}), ("Gemm", ["b", "w"], ["c"], {}),
                   ("Relu", ["c"], ["d"], {}), ("MatMul", ["d", "v"], ["e"], {}), ("Add", ["e", "b2"], ["y"], {})], N,
     [("w", random(4 * 9 * 11, 8)), ("v", random(8, 3)), ("b2", random(3))])
case("pool_then_relu", [("Conv", ["x", "k"], ["a"], SAME), ("MaxPool", ["a"], ["b"], dict(kernel_shape=[2, 2])),
                        ("Clip", ["b", "lo", "hi"], ["c"], {}), ("Relu", ["c"], ["y"], {})], N,
     [K, ("lo", np.float32(-1)), ("hi", np.float32(0.5))])
case("shuffle", [("Reshape", ["x", "r1"], ["a"], {}), ("Transpose", ["a"], ["b"], dict(perm=[1, 0, 2])),
                 ("Reshape", ["b", "r2"], ["c"], {}), ("Gather", ["c", "zero"], ["d"], dict(axis=0)),
                 ("Gather", ["c", "one"], ["e"], dict(axis=0)), ("Concat", ["e", "d"], ["y"], dict(axis=1))],
     [1, 6, 5, 4], [("r1", np.array([3, 2, 20], np.int64)), ("r2", np.array([2, -1, 3, 5, 4], np.int64)),
                    ("zero", np.int64(0)), ("one", np.int64(1))])
case("vector_shapes", [("GlobalAveragePool", ["x"], ["a"], {}), ("Conv", ["a", "w"], ["b"], {}),
                       ("Flatten", ["b"], ["c"], {}), ("Unsqueeze", ["c"], ["d"], dict(axes=[2, 3])),
                       ("Squeeze", ["d"], ["e"], dict(axes=[2, 3])), ("Relu", ["e"], ["y"], {})], N,
     [("w", random(6, 4, 1, 1))], opset=11)
case("two_outputs", [("Conv", ["x", "k"], ["y"], SAME), ("Relu", ["y"], ["z"], {}), ("Identity", ["z"], ["i"], {})], N,
     [K], outputs=("y", "i"))


def compare(program, name, folder):
    import onnxruntime as ort
    ort.set_default_logger_severity(3)
    path = os.path.join(folder, "case.onnx")
    onnx.save(CASES[name], path)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    ok = True
    symbolic = not isinstance(session.get_inputs()[0].shape[0], int)
    batch = 2 if symbolic and name != "flatten_by_shape" else 1
    shape = [batch] + session.get_inputs()[0].shape[1:]
    x = random(*shape)
    expected = np.concatenate([y.ravel() for y in session.run(None, {"x": x})])
    x.tofile(os.path.join(folder, "in"))
    for extra in ([], ["--passes"]):
        out = os.path.join(folder, "out")
        result = subprocess.run([program, path, str(batch), os.path.join(folder, "in"), out] + extra,
                                capture_output=True, text=True)
        if result.returncode and not extra and name == "shuffle":
            continue  # its first axis is not the batch before the passes
        if result.returncode:
            print("%-26s %-8s FAILED: %s" % (name, extra and "passes" or "raw", result.stderr.strip()))
            ok = False
            continue
        got = np.fromfile(out, np.float32)
        error = np.inf
        if got.size == expected.size:
            error = np.max(np.abs(got - expected)) / max(np.ptp(expected), 1e-6)
        if not error <= LIMIT:
            print("%-26s %-8s error %g of the range" % (name, extra and "passes" or "raw", error))
            ok = False
    return ok


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--write":
        os.makedirs(sys.argv[2], exist_ok=True)
        for name, proto in CASES.items():
            onnx.save(proto, os.path.join(sys.argv[2], name + ".onnx"))
        return 0
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    try:
        import onnxruntime  # noqa: F401
    except ImportError as error:
        print("SKIP: test_onnx_operators:", error)
        return 77
    with tempfile.TemporaryDirectory() as folder:
        failed = [name for name in CASES if not compare(sys.argv[1], name, folder)]
    print("%d operators and small graphs, %d differ" % (len(CASES), len(failed)))
    return 1 if failed else 0


sys.exit(main())
