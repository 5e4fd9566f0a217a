#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# kernelcheck of the Arm families on any machine: cross compiler and qemu-user. kernelcheck.sh SOURCE BUILD
# Then the same with planted errors behind the neon kernels, which it must find; and the count of instructions that the
# 16-bit runs save. Twenty seconds after the first build.
set -eu
source=$1
build=$2
for tool in aarch64-linux-gnu-gcc qemu-aarch64; do
    if ! command -v $tool >/dev/null 2>&1; then
        echo "SKIP: neon, dotprod, i8mm: $tool is missing (Debian: gcc-aarch64-linux-gnu, qemu-user)"
        exit 77
    fi
done
cmake -S "$source" -B "$build" -DCMAKE_TOOLCHAIN_FILE="$source/cmake/aarch64.cmake" -DNARROW_KERNELS_ONLY=ON \
    -DCMAKE_BUILD_TYPE=Release >/dev/null
cmake --build "$build" --parallel 2 --target kernelcheck >/dev/null
run() {
    qemu-aarch64 -cpu max -L /usr/aarch64-linux-gnu "$build/tests/kernels/kernelcheck" "$@"
}
run --isa neon
run --isa neon-int32 --filter gemm
run --isa dotprod --filter gemm
run --isa i8mm --filter gemm
run --isa neon --plant
if command -v python3 >/dev/null 2>&1; then
    python3 "$source/tests/cross/neon_instructions.py" \
        "$build/src/kernels/CMakeFiles/nw_kernels.dir/neon/gemm_tile.c.o"
else
    echo "SKIP: count of instructions: python3 is missing"
fi
