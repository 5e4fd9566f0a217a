#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# open_nw.sh MAKE_NW: writes .nw files, opens them with Python's safetensors, reads what that saved. 77: skipped.
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
"$1" --offsets "$folder" 60 || exit 1
"${NARROW_PYTHON:-python3}" open_nw.py "$folder" "$folder/again.nw" || exit $?
"$1" --check "$folder/again.nw"
