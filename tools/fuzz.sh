#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fuzzes every reader of foreign bytes under address and undefined behaviour sanitizers: fuzz.sh ROOT BUILD
# FUZZ_SECONDS per target (default 600), FUZZ_TARGETS (default: all). One line per target; fails if anything crashed.
# Inputs that crash lie in BUILD/found: after the fix they join fuzz/corpus, which `make test` replays.
set -eu
root=$1
build=$2
seconds=${FUZZ_SECONDS:-600}
targets=${FUZZ_TARGETS:-onnx nw json png jpeg npy}

mkdir -p "$build/found"
if ! { CC=clang cmake -S "$root" -B "$build" -DNARROW_FUZZ=ON -DNARROW_TESTS=OFF -DCMAKE_BUILD_TYPE=RelWithDebInfo &&
       CC=clang cmake -S "$root" -B "$build/tools" -DNARROW_TESTS=ON &&
       cmake --build "$build" -j "$(nproc)" --target $(printf 'fuzz_%s ' $targets) &&
       cmake --build "$build/tools" -j "$(nproc)" --target make_nw narrow; } >"$build/build.log" 2>&1; then
    tail -n 40 "$build/build.log"
    exit 1
fi

# Seeds: what the demo carries, random networks, and what a quantizer writes. One list of everything an array can be.
seeds=$build/seeds
for target in $targets; do
    mkdir -p "$seeds/$target" "$build/corpus/$target"
done
[ ! -d "$seeds/json" ] || cp "$root/fuzz/seeds/json/"* "$seeds/json"
[ ! -d "$seeds/onnx" ] || cp "$root/demo/glyphs.onnx" "$seeds/onnx"
if [ -d "$seeds/nw" ]; then
    "$build/tools/tests/models/make_nw" "$seeds/nw" 200
    "$build/tools/narrow" quantize "$root/demo/glyphs.onnx" "$seeds/nw/glyphs.nw" --calib "$root/demo/pictures/calib" \
        --preprocess "$root/demo/preprocess.json" --samples 12 >/dev/null
fi
if [ -d "$seeds/png" ]; then
    for folder in "$root"/demo/pictures/calib/*; do
        cp "$folder/000.png" "$seeds/png/${folder##*/}.png"
    done
fi
if [ -d "$seeds/onnx" ] && [ -n "${NARROW_PYTHON:-}" ]; then
    "$NARROW_PYTHON" "$root/tests/unit/test_onnx_operators.py" --write "$seeds/onnx" >/dev/null || true
fi

failed=0
for target in $targets; do
    case $target in
    onnx) length=16384 ;;
    nw) length=20000 ;;
    *) length=8192 ;;
    esac
    log=$build/$target.log
    code=0
    "$build/fuzz/fuzz_$target" -max_len=$length -max_total_time="$seconds" -timeout=60 -rss_limit_mb=4096 \
        -print_final_stats=1 -artifact_prefix="$build/found/$target-" \
        "$build/corpus/$target" "$root/fuzz/corpus/$target" "$seeds/$target" >"$log" 2>&1 || code=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    coverage=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    if [ "$code" -eq 0 ]; then
        echo "ok      fuzz_$target: ${runs:-0} runs in $seconds s, $coverage edges covered"
    else
        failed=1
        echo "FAILED  fuzz_$target: exit code $code after ${runs:-0} runs; the input is in $build/found"
        grep -E 'ERROR|SUMMARY|runtime error' "$log" || tail -n 20 "$log"
    fi
done
exit $failed
