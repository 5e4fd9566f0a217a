#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What takes programs or minutes that the suite should not ask for: run.sh ROOT BUILD; closes with "N passed, N failed".
set -u
root=$1
build=$2
testbed=${NARROW_TESTBED:-}
passed=0
failed=0
skipped=0

# step COMMAND...: 77 is a skip; its last line says what was seen
step() {
    code=0
    "$@" >"$build/long.log" 2>&1 || code=$?
    tail -n 1 "$build/long.log"
    case $code in
    0) passed=$((passed + 1)) ;;
    77) skipped=$((skipped + 1)) ;;
    *)
        failed=$((failed + 1))
        cat "$build/long.log"
        ;;
    esac
}

cmake -S "$root" -B "$build" -DNARROW_TESTS=ON >/dev/null && cmake --build "$build" -j "$(nproc)" >"$build/make.log" 2>&1 || {
    tail -n 40 "$build/make.log"
    exit 1
}
step sh "$root/tests/long/slurm.sh" "$root" "$build/narrow"

# Big-endian: the reference kernels on random networks and, with the test bed, on real ones.
networks=
if [ -d "$testbed/models" ]; then
    for name in resnet20-cifar10 mobilenetv2-cifar10; do
        "$build/narrow" quantize "$testbed/models/$name.onnx" "$build/$name.nw" --calib "$testbed/data/cifar10/calib" \
            --samples 32 --mean 123.675,116.28,103.53 --std 58.395,57.12,57.375 >/dev/null && networks="$networks $build/$name.nw"
    done
else
    echo "SKIP: real networks on a big-endian machine: no test bed at ${testbed:-NARROW_TESTBED}"
fi
step sh "$root/tests/cross/networks.sh" s390x "$root" "$build/s390x-engine" "$build/tests/cross/hash_nw" \
    "$build/tests/models/make_nw" $networks
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
