# SPDX-License-Identifier: Apache-2.0
"""Small files made by hand, so that the tests need no package: ONNX, PNG, JPEG, npy, npz.

    onnx([("Conv", ["x", "w"], ["y"], {"kernel_shape": [1, 1]})], {"x": [1, 3, 8, 8]}, {"y": [1, 4, 8, 8]},
         {"w": ([4, 3, 1, 1], values)})
"""
import base64
import io
import struct
import zipfile
import zlib

# 32 x 32, baseline, colour.
JPEG = base64.b64decode("""
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABQODxIPDRQSEBIXFRQYHjIhHhwcHj0sLiQySUBMS0dARkVQWnNiUFVtVkVGZIhlbXd7gYKBTmCNl4x9lnN+gX
z/2wBDARUXFx4aHjshITt8U0ZTfHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHz/wAARCAAgACADASIAAhEBAxEB
/8QAFwABAAMAAAAAAAAAAAAAAAAAAgADBP/EACAQAAMAAQQCAwAAAAAAAAAAAAABAhEDBCExEnEyUWH/xAAYAQACAwAAAAAAAAAAAAAAAAABAgADBf/EAB
sRAAMBAAMBAAAAAAAAAAAAAAABAgMREiEx/9oADAMBAAIRAxEAPwDTJYtWJ7oqbfi8A0YV3ivZkop00qWples1zuNOl81n94LFXJmvbxhtZTJtreHP0Hwi
ulSm19Cl0BzUWqgSGhUx7zVhq7tYx7JpR4LntibImEWcuH2b5Z//2Q==
""")


def varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n]))


def field(number, value):
    """One protobuf field: int as varint, bytes and str with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def attribute(name, value):
    """AttributeProto: an integer, a list of integers, or a text."""
    if isinstance(value, int):
        return field(1, name) + field(3, value) + field(20, 2)
    if isinstance(value, str):
        return field(1, name) + field(4, value) + field(20, 3)
    return field(1, name) + b"".join(field(8, v) for v in value) + field(20, 7)


def value_info(name, dims):
    shape = b"".join(field(1, field(1, d) if isinstance(d, int) else field(2, d)) for d in dims)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))


def tensor(name, dims, values):
    return (b"".join(field(1, d) for d in dims) + field(2, 1) + field(8, name) +
            field(9, struct.pack("<%df" % len(values), *values)))


def tensor_beside(name, dims, entries):
    """A TensorProto whose values lie in another file; entries: location, offset, length as texts."""
    return (b"".join(field(1, d) for d in dims) + field(2, 1) + field(8, name) +
            b"".join(field(13, field(1, k) + field(2, v)) for k, v in entries.items()) + field(14, 1))


def onnx(nodes, inputs, outputs, initializers=None, opset=13, domain=""):
    """A ModelProto of nodes (op, inputs, outputs, attributes), named op_0, op_1, ...

    initializers: name to (dims, values), or (dims, entries) for values in another file.
    """
    graph = b""
    for i, (op, reads, writes, attributes) in enumerate(nodes):
        graph += field(1, b"".join(field(1, name) for name in reads) + b"".join(field(2, name) for name in writes) +
                       field(3, "%s_%d" % (op.lower(), i)) + field(4, op) +
                       b"".join(field(5, attribute(k, v)) for k, v in attributes.items()))
    graph += field(2, "made")
    graph += b"".join(field(5, (tensor_beside if isinstance(v[1], dict) else tensor)(k, *v))
                      for k, v in (initializers or {}).items())
    graph += b"".join(field(11, value_info(k, v)) for k, v in inputs.items())
    graph += b"".join(field(12, value_info(k, v)) for k, v in outputs.items())
    return field(1, 7) + field(7, graph) + field(8, (field(1, domain) if domain else b"") + field(2, opset))


def png(width, height, pixels, channels=3):
    """8-bit PNG; pixels are bytes, rows from the top."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    row = width * channels
    rows = b"".join(b"\0" + pixels[i * row:(i + 1) * row] for i in range(height))
    return (b"\x89PNG\r\n\x1a\n" +
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2}[channels], 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def npy(shape, data, kind="<f4"):
    header = "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }" % (kind, "".join("%d, " % d for d in shape))
    header += " " * (-(len(header) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


def floats(values):
    return struct.pack("<%df" % len(values), *values)


def npz(arrays, compressed=True):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as file:
        for name, data in arrays.items():
            file.writestr(name + ".npy", data)
    return out.getvalue()


SEGMENTER_WEIGHTS = [1.0 if o == c else -0.5 for o in range(3) for c in range(3)]


def segmenter(beside=None):
    """A 1 x 1 convolution from 3 channels to 3 classes, the strongest colour wins: 1x3x8x8 -> 1x3x8x8. `beside`: the
    entries of another file that holds its weights."""
    return onnx([("Conv", ["x", "w"], ["y"], {"kernel_shape": [1, 1]})], {"x": ["N", 3, 8, 8]}, {"y": ["N", 3, 8, 8]},
                {"w": ([3, 3, 1, 1], beside or SEGMENTER_WEIGHTS)})


def deep(n, name):
    """n 1 x 1 convolutions from 3 channels to 3 with Relu between, then Softmax: 1x3x8x8 -> 1x3x8x8; tensors are called
    name and a number."""
    nodes, read = [], "x"
    for i in range(n):
        nodes.append(("Conv", [read, "w"], ["%s%dc" % (name, i)], {"kernel_shape": [1, 1]}))
        nodes.append(("Relu", ["%s%dc" % (name, i)], ["%s%d" % (name, i)], {}))
        read = "%s%d" % (name, i)
    nodes.append(("Softmax", [read], ["y"], {"axis": 1}))
    weights = [0.9 if o == c else 0.1 for o in range(3) for c in range(3)]
    return onnx(nodes, {"x": ["N", 3, 8, 8]}, {"y": ["N", 3, 8, 8]}, {"w": ([3, 3, 1, 1], weights)})
