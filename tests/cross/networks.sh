#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Whole networks under qemu-user, byte for byte as on this machine: the hash over every intermediate tensor, by every family
# of the target: aarch64 (neon, dotprod, i8mm) or s390x (ref, big-endian).
# networks.sh TARGET SOURCE BUILD HASH_NW MAKE_NW [FILE.nw...]
# Runs random networks, the files in tests/models/golden and those named. cJSON for the target is a Debian package, fetched
# into the build folder with a package list of its own: the system is left as it is.
set -eu
target=$1
source=$2
build=$3
hash_nw=$4
make_nw=$5
shift 5
case $target in
aarch64) debian=arm64 qemu="qemu-aarch64 -cpu max" ;;
*) debian=$target qemu=qemu-$target ;;
esac
for tool in $target-linux-gnu-gcc ${qemu%% *}; do
    if ! command -v $tool >/dev/null 2>&1; then
        echo "SKIP: networks on $target: $tool is missing (Debian: gcc-$target-linux-gnu, libc6-dev-$debian-cross, qemu-user)"
        exit 77
    fi
done
mkdir -p "$build"
cjson=$build/cjson

fetch() {
    mkdir -p "$cjson/lists/partial" "$cjson/cache/archives/partial"
    cd "$cjson"
    options="-o Dir::State::lists=$cjson/lists -o Dir::Cache=$cjson/cache -o APT::Sandbox::User= -o Acquire::Retries=1 -o Acquire::http::Timeout=10
             -o APT::Architectures::=$(dpkg --print-architecture) -o APT::Architectures::=$debian"
    apt-get $options update -qq && apt-get $options download -qq libcjson1:$debian libcjson-dev:$debian
    for package in libcjson*.deb; do
        dpkg -x "$package" "$cjson"
    done
    rm -rf "$cjson/lists" "$cjson/cache"
}
if [ ! -e "$cjson/usr/include/cjson/cJSON.h" ] && ! (fetch) >"$build/fetch.log" 2>&1; then
    echo "SKIP: networks on $target: cJSON for $debian could not be fetched ($build/fetch.log)"
    exit 77
fi
cmake -S "$source" -B "$build" -DCMAKE_TOOLCHAIN_FILE="$source/cmake/$target.cmake" -DNARROW_ENGINE_ONLY=ON \
    -DNARROW_THREADS=OFF -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS="-isystem $cjson/usr/include" \
    -DCMAKE_EXE_LINKER_FLAGS="-L$cjson/usr/lib/$target-linux-gnu" >/dev/null
cmake --build "$build" --parallel 2 --target hash_nw >/dev/null

mkdir -p "$build/random"
"$make_nw" "$build/random" 40
set -- "$build"/random/*.nw "$@"
for file in "$source"/tests/models/golden/*.nw; do
    [ -e "$file" ] && set -- "$@" "$file"
done
"$hash_nw" "$@" >"$build/here.txt"
$qemu -L /usr/$target-linux-gnu -E LD_LIBRARY_PATH="$cjson/usr/lib/$target-linux-gnu" \
    "$build/tests/cross/hash_nw" "$@" >"$build/there.txt"
diff "$build/here.txt" "$build/there.txt"
echo "$target: the same bytes in $(wc -l <"$build/there.txt") networks"
