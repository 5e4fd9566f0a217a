#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The whole suite: the release build, the same under address and undefined behaviour sanitizers, and Clang's warnings.
# test.sh ROOT BUILD; closes with "N passed, N failed, N skipped" and fails if anything did.
set -u
root=$1
build=$2
jobs=$(nproc)
passed=0
failed=0
skipped=0

# step NAME COMMAND...: counts as one test
step() {
    name=$1
    shift
    if "$@" >"$build/step.log" 2>&1; then
        passed=$((passed + 1))
        echo "ok      $name"
    else
        failed=$((failed + 1))
        echo "FAILED  $name"
        tail -n 60 "$build/step.log"
    fi
}

# suite NAME FOLDER LABELS-TO-LEAVE-OUT: runs CTest and adds up its tests
suite() {
    echo "== $1"
    log=$2/suite.log
    (cd "$2" && ctest --output-on-failure -j "$jobs" --timeout 900 ${3:+-LE "$3"}) >"$log" 2>&1
    code=$?
    grep -E '^ *[0-9]+/[0-9]+ Test|SKIP|^\*\*\*' "$log"
    grep -q 'tests failed' "$log" || [ $code -eq 0 ] || echo "ctest itself failed" >>"$log"
    [ $code -eq 0 ] || cat "$log"
    s=$(grep -cE 'Test +#.*\*\*\*Skipped' "$log")
    f=$(sed -n 's/.* \([0-9]*\) tests\{0,1\} failed out of \([0-9]*\)/\1/p' "$log")
    n=$(sed -n 's/.* \([0-9]*\) tests\{0,1\} failed out of \([0-9]*\)/\2/p' "$log")
    if [ -z "$n" ] || [ "$n" -eq 0 ]; then
        failed=$((failed + 1))
        return
    fi
    skipped=$((skipped + s))
    failed=$((failed + f))
    passed=$((passed + n - f - s))
}

NARROW_PYTHON=$build/venv/bin/python
GOMP_SPINCOUNT=0 # the OpenMP team of one test must not spin beside another test
export NARROW_PYTHON GOMP_SPINCOUNT

step "gcc build without warnings" sh -c "cmake -S '$root' -B '$build' -DNARROW_TESTS=ON -DNARROW_PYTHON='$NARROW_PYTHON' && cmake --build '$build' -j $jobs"
suite "release build" "$build" ""
step "clang build without warnings" sh -c "CC=clang cmake -S '$root' -B '$build/clang' -DNARROW_TESTS=ON && cmake --build '$build/clang' -j $jobs"
step "sanitizer build" sh -c "cmake -S '$root' -B '$build/sanitize' -DNARROW_TESTS=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo -DNARROW_SANITIZE=address,undefined -DNARROW_PYTHON='$NARROW_PYTHON' && cmake --build '$build/sanitize' -j $jobs"
ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1
UBSAN_OPTIONS=print_stacktrace=1
export ASAN_OPTIONS UBSAN_OPTIONS
# the cross builds have no sanitizers: there they would be the same once more
suite "under address and undefined behaviour sanitizers" "$build/sanitize" "slow|cross"

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
