#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# demo.sh NARROW FOLDER: quantizes the network that the repository carries and shows what it costs and what it gains.
set -eu
narrow=$1
out=$2/demo
here=$(dirname "$0")
mkdir -p "$out"

run() {
    echo
    echo "\$ narrow $*"
    "$narrow" "$@"
}

run quantize "$here/glyphs.onnx" "$out/glyphs.nw" --calib "$here/pictures/calib" --preprocess "$here/preprocess.json"
run eval "$out/glyphs.nw" --data "$here/pictures/test" --against "$here/glyphs.onnx"
run verify "$out/glyphs.nw"
run bench "$out/glyphs.nw" --float "$here/glyphs.onnx" --no-layers
echo
printf 'size on disk: float %s bytes, narrow %s bytes\n' "$(wc -c <"$here/glyphs.onnx")" "$(wc -c <"$out/glyphs.nw")"
