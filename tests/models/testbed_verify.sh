#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# testbed_verify.sh NARROW: real networks, quantized on 20 samples, give the same bytes for every intermediate tensor with
# every kernel family this machine has and 1, 2 and 3 threads. 77: skipped, no test bed.
narrow=$1
bed=${NARROW_TESTBED:-../shared/testbed}
if [ ! -f "$bed/models/resnet20-cifar10.onnx" ]; then
    echo "SKIP: testbed_verify: no test bed at $bed; set NARROW_TESTBED"
    exit 77
fi
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
failed=0

# one NAME CALIBRATION FLAGS...
one() {
    name=$1
    calib=$2
    shift 2
    "$narrow" quantize "$bed/models/$name.onnx" "$folder/$name.nw" --calib "$bed/data/$calib" --samples 20 "$@" &&
        "$narrow" verify "$folder/$name.nw" || { echo "FAILED: $name"; failed=1; }
}

one resnet20-cifar10 cifar10/calib --mean 123.675,116.28,103.53 --std 58.395,57.12,57.375
one mobilenetv2-imagenet imagenet/calib.csv --resize shorter_side:256 --crop center --mean 127.5 --std 127.5
one unet-camvid camvid/calib --mean 104.55,107.1,109.65 --std 76.5,79.05,79.05
exit $failed
