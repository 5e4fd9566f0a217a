#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Sees to it that Debian's packages are there: install.sh build|test|long|bench
# As root, or where sudo asks no questions, it installs what is missing; otherwise it prints the line to run.
set -eu

build="gcc cmake libdnnl-dev libprotobuf-c-dev protobuf-c-compiler libonnx-dev libcjson-dev libpthreadpool-dev
       libjpeg62-turbo-dev libpng-dev zlib1g-dev"
test="libcmocka-dev libsimde-dev clang python3-venv gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
      chromium"
long="slurm-wlm munge qemu-user gcc-s390x-linux-gnu libc6-dev-s390x-cross libcmocka-dev libsimde-dev"

packages=$build
[ "${1:-build}" = long ] && packages="$build $long"
[ "${1:-build}" = test ] && packages="$build $test"
[ "${1:-build}" = bench ] && packages="$build python3-venv"

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "not a Debian system: install the equivalents of" $packages >&2
    exit 0
fi
missing=
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    root=
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    root="sudo -n"
else
    echo "missing packages; run:" >&2
    echo "    sudo apt-get update && sudo apt-get install -y --no-install-recommends$missing" >&2
    exit 1
fi
echo "installing:$missing"
$root apt-get update -qq
$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
