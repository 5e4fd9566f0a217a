#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# golden.sh NARROW: the networks of golden/ give the hashes of golden.txt, on every machine and with every kernel
# family it has. A hash that changes means that numbers change: that needs a reason, a line in NEWS and a new version of
# the file format. The networks are committed because quantizing is not the same to the bit on every CPU.
#
#     glyphs_*.nw     narrow quantize demo/glyphs.onnx ... (8 bits; weights 4, activations 5; the same with coded weights,
#                     which has the same hash)
#     random_N.nw     make_nw: together all operators and widths that nw_random.c knows
narrow=$1
cd "$(dirname "$0")/golden" || exit 1
n=0
failed=0
while read -r hash file; do
    n=$((n + 1))
    "$narrow" verify --allow-wrap --expect "$hash" "$file" || failed=$((failed + 1))
done <../golden.txt
for file in *.nw; do
    grep -q "  $file\$" ../golden.txt || { echo "$file is not in golden.txt" >&2; failed=$((failed + 1)); }
done
echo "$n networks, $failed failed"
[ $n -gt 0 ] && [ $failed -eq 0 ]
