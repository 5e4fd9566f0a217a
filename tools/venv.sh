#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the virtual environment of the tests: venv.sh FOLDER. What cannot be fetched is said; the tests that need it skip.
set -eu
folder=$1
stamp=$folder/complete
[ -f "$stamp" ] && [ "$stamp" -nt "$0" ] && exit 0
rm -rf "$folder"
/usr/bin/python3 -m venv "$folder"
if "$folder/bin/pip" install -q --disable-pip-version-check numpy pillow safetensors onnx onnxruntime; then
    touch "$stamp"
else
    echo "SKIP: the Python packages of the tests cannot be installed; tests that compare with them will be skipped" >&2
fi
