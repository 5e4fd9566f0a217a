#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# demo_real.sh NARROW FOLDER TESTBED: the demo with real networks: resnet32 on CIFAR-10, mobilenetv2 on ImageNet samples.
set -eu
narrow=$1
out=$2/demo-real
bed=$3
if [ ! -f "$bed/models/resnet32-cifar10.onnx" ]; then
    echo "SKIP: no test bed at $bed; set NARROW_TESTBED" >&2
    exit 0
fi
mkdir -p "$out"

# real NAME CALIBRATION TEST FLAGS...
real() {
    name=$1
    calib=$2
    test=$3
    shift 3
    echo
    echo "$name"
    "$narrow" quantize "$bed/models/$name.onnx" "$out/$name.nw" --calib "$bed/data/$calib" "$@"
    "$narrow" eval "$out/$name.nw" --data "$bed/data/$test" --against "$bed/models/$name.onnx"
    "$narrow" bench "$out/$name.nw" --float "$bed/models/$name.onnx" --no-layers
    printf 'size on disk: float %s bytes, narrow %s bytes\n' "$(wc -c <"$bed/models/$name.onnx")" \
        "$(wc -c <"$out/$name.nw")"
}

real resnet32-cifar10 cifar10/calib cifar10/test --samples 500 --mean 123.675,116.28,103.53 --std 58.395,57.12,57.375
real mobilenetv2-imagenet imagenet/calib.csv imagenet/test.csv --resize shorter_side:256 --crop center \
    --mean 127.5 --std 127.5 --class-offset 1
