#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes a virtual environment: venv.sh FOLDER [PACKAGE... [--optional PACKAGE...] [--bare PACKAGE...]]
# Without packages: those of the tests. What cannot be fetched is said, and whatever needs it is skipped: the first packages
# come together or not at all, optional ones each for itself, bare ones too and without their own dependencies.
# A complete environment made from the same list is kept.
set -eu
folder=$1
shift
[ $# -gt 0 ] || set -- numpy pillow safetensors onnx onnxruntime
list=$*
stamp=$folder/complete
[ -f "$stamp" ] && [ "$stamp" -nt "$0" ] && [ "$(cat "$stamp")" = "$list" ] && exit 0
rm -rf "$folder"
/usr/bin/python3 -m venv "$folder"

install() {
    "$folder/bin/pip" install -q --disable-pip-version-check "$@"
}

needed=
while [ $# -gt 0 ] && [ "${1#--}" = "$1" ]; do
    needed="$needed $1"
    shift
done
if ! install $needed; then
    echo "SKIP: the Python packages$needed cannot be installed; what needs them will be skipped" >&2
    exit 0
fi
flag=
for word; do
    case $word in
    --optional) flag= ;;
    --bare) flag=--no-deps ;;
    *) install --prefer-binary $flag "$word" || echo "SKIP: the Python package $word cannot be installed" >&2 ;;
    esac
done
echo "$list" >"$stamp"
