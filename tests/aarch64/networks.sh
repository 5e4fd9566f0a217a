#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Whole networks under qemu-user, byte for byte as on this machine: the hash over every intermediate tensor, by every Arm
# family. networks.sh SOURCE BUILD HASH_NW MAKE_NW [FILE.nw...]
# Runs random networks, the files in tests/models/golden and those named. cJSON for the target is a Debian package, fetched
# into the build folder with a package list of its own: the system is left as it is.
set -eu
source=$1
build=$2
hash_nw=$3
make_nw=$4
shift 4
for tool in aarch64-linux-gnu-gcc qemu-aarch64; do
    if ! command -v $tool >/dev/null 2>&1; then
        echo "SKIP: networks on neon, dotprod, i8mm: $tool is missing (Debian: gcc-aarch64-linux-gnu, qemu-user)"
        exit 77
    fi
done
mkdir -p "$build"
cjson=$build/cjson

fetch() {
    mkdir -p "$cjson/lists/partial" "$cjson/cache/archives/partial"
    cd "$cjson"
    options="-o Dir::State::lists=$cjson/lists -o Dir::Cache=$cjson/cache -o APT::Sandbox::User= -o Acquire::Retries=1 -o Acquire::http::Timeout=10
             -o APT::Architectures::=$(dpkg --print-architecture) -o APT::Architectures::=arm64"
    apt-get $options update -qq && apt-get $options download -qq libcjson1:arm64 libcjson-dev:arm64
    for package in libcjson*.deb; do
        dpkg -x "$package" "$cjson"
    done
    rm -rf "$cjson/lists" "$cjson/cache"
}
if [ ! -e "$cjson/usr/include/cjson/cJSON.h" ] && ! (fetch) >"$build/fetch.log" 2>&1; then
    echo "SKIP: networks on neon, dotprod, i8mm: cJSON for arm64 could not be fetched ($build/fetch.log)"
    exit 77
fi
cmake -S "$source" -B "$build" -DCMAKE_TOOLCHAIN_FILE="$source/cmake/aarch64.cmake" -DNARROW_ENGINE_ONLY=ON \
    -DNARROW_THREADS=OFF -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS="-isystem $cjson/usr/include" \
    -DCMAKE_EXE_LINKER_FLAGS="-L$cjson/usr/lib/aarch64-linux-gnu" >/dev/null
cmake --build "$build" --parallel 2 --target hash_nw >/dev/null

mkdir -p "$build/random"
"$make_nw" "$build/random" 40
set -- "$build"/random/*.nw "$@"
for file in "$source"/tests/models/golden/*.nw; do
    [ -e "$file" ] && set -- "$@" "$file"
done
"$hash_nw" "$@" >"$build/here.txt"
qemu-aarch64 -cpu max -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH="$cjson/usr/lib/aarch64-linux-gnu" \
    "$build/tests/aarch64/hash_nw" "$@" >"$build/arm.txt"
diff "$build/here.txt" "$build/arm.txt"
echo "the same bytes in $(wc -l <"$build/arm.txt") networks"
