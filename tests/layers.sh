#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The arrows of docs/architecture.md, checked on the #include lines: a folder includes only what stands before it.
#
#     base <- model <- runtime             base <- kernels <- ops <- runtime
#     base <- model <- onnx, passes, data  base <- model <- float <- quant
#     quant, runtime <- plan
#
# include/narrow/ stands before everything, cli/ behind everything. Headers that are not the C library's are each at home
# in one place. And no committed text names a path of somebody's machine.
#
#     tests/layers.sh              checks the tree this script lies in
#     tests/layers.sh --selftest   plants one wrong line of every kind in a copy and expects each to be found
set -u

# One line per wrong #include below $1.
wrong_includes()
{
    (cd "$1" && find include src cli -name '*.[ch]' -print | sort | xargs grep -nE '^[[:space:]]*#[[:space:]]*include' /dev/null) |
    awk '
    BEGIN {
        may["base"] = "base"
        may["model"] = "base model"
        may["kernels"] = "base kernels"
        may["ops"] = "base kernels ops"
        may["runtime"] = "base model kernels ops runtime"
        may["onnx"] = "base model onnx"
        may["passes"] = "base model passes"
        may["data"] = "base model data"
        may["float"] = "base model float"
        may["quant"] = "base model float quant"
        may["plan"] = "base model float quant runtime plan"
        may["cli"] = "base model kernels ops runtime onnx passes data float quant plan cli"
        # header (pattern) and where it is at home (pattern)
        home["^[^x][a-z0-9]*intrin[.]h$"] = "^src/kernels/(avx2|avxvnni|avx512|avx512vnni|amx)/"
        home["^xmmintrin[.]h$"] = "^src/(kernels/(avx2|avxvnni|avx512|avx512vnni|amx)/|runtime/fpenv[.]h$)"
        home["^arm_(neon|sve|acle)[.]h$"] = "^src/kernels/neon/"
        home["^simde/"] = "^$"
        # a family may use those whose instructions it includes
        below["avxvnni"] = "avx2"
        below["avx512"] = "avx2"
        below["avx512vnni"] = "avx2 avx512"
        below["amx"] = "avx2 avx512 avx512vnni"
        home["^(cpuid|asm/hwcap|sys/auxv)[.]h$"] = "^src/kernels/cpu[.]c$"
        home["dnnl"] = "^src/float/onednn[.]c$"
        home["protobuf"] = "^src/onnx/"
        home["^(jpeglib|jerror|jmorecfg|turbojpeg)[.]h$"] = "^src/data/"
        home["^png"] = "^src/data/"
        home["^(zlib|zconf)[.]h$"] = "^src/data/"
        home["^cjson/"] = "^(src/model|cli)/"
        home["^pthreadpool[.]h$"] = "^src/runtime/threads[.]c$"
    }
    function wrong(why) { print file ":" line ": " text "  (" why ")" }
    {
        file = $0; sub(/:.*/, "", file)
        rest = substr($0, length(file) + 2)
        line = rest; sub(/:.*/, "", line)
        text = substr(rest, length(line) + 2)
        split(file, part, "/")
        folder = part[1] == "src" ? part[2] : part[1]
        header = text
        if (text ~ /include[[:space:]]*</) {
            sub(/^[^<]*</, "", header); sub(/>.*/, "", header)
            if (folder == "include" && header !~ /^(stddef|stdint|stdbool)[.]h$/)
                wrong("a public header needs the C library only")
            for (pattern in home)
                if (header ~ pattern && file !~ home[pattern])
                    wrong("belongs into " home[pattern])
            next
        }
        sub(/^[^"]*"/, "", header); sub(/".*/, "", header)
        split(header, to, "/")
        if (to[1] == "narrow")
            next
        if (folder == "include") {
            wrong("include/narrow stands before everything")
            next
        }
        if (!(folder in may)) {
            wrong("tests/layers.sh does not know the folder " folder)
            next
        }
        if (header == "onnx.pb-c.h" && folder == "onnx")
            next
        if (header !~ /\// && folder != "cli")
            wrong("write it with its folder")
        else if (header ~ /\// && index(" " may[folder] " ", " " to[1] " ") == 0)
            wrong(folder " may include " may[folder])
        else if (to[1] == "kernels" && to[3] != "" && file !~ "^src/kernels/" to[2] "/" &&
                 !(part[2] == "kernels" && index(" " below[part[3]] " ", " " to[2] " ")))
            wrong("only kernels/" to[2] " and the families that include it see that header")
    }'
}

# Committed lines that name a folder of one machine. Binary files are passed over.
machine_paths()
{
    (cd "$1" && git grep -nIE '(^|[^A-Za-z0-9_.})/-])/(work|root|home|Users|mnt|tmp)/[A-Za-z0-9_]' -- . 2>/dev/null)
}

check()
{
    found=$(wrong_includes "$1")
    paths=$(machine_paths "$1")
    [ -z "$found" ] && [ -z "$paths" ] && return 0
    [ -n "$found" ] && printf 'wrong include:\n%s\n' "$found"
    [ -n "$paths" ] && printf 'path of a machine:\n%s\n' "$paths"
    return 1
}

# tree FILE LINE: a tree with that line alone; what check says of it goes to $temporary/out.
tree()
{
    rm -rf "$temporary/tree"
    mkdir -p "$temporary/tree/include/narrow" "$temporary/tree/src" "$temporary/tree/cli" "$(dirname "$temporary/tree/$1")"
    printf '%s\n' "$2" >"$temporary/tree/$1"
    (cd "$temporary/tree" && git init -q . && git add .) || exit 1
    tried=$((tried + 1))
    check "$temporary/tree" >"$temporary/out"
}

# The line must be found, and its file named.
plant()
{
    if tree "$1" "$2" || ! grep -q "^$1:" "$temporary/out"; then
        echo "not found: $2 in $1"
        wrong=$((wrong + 1))
    fi
}

# The line must not be found.
accept()
{
    if ! tree "$1" "$2"; then
        cat "$temporary/out"
        wrong=$((wrong + 1))
    fi
}

selftest()
{
    temporary=$(mktemp -d) || exit 1
    trap 'rm -rf "$temporary"' EXIT
    tried=0
    wrong=0
    plant src/base/a.c '#include "model/model.h"'
    plant src/model/a.c '#include "runtime/engine.h"'
    plant src/kernels/a.c '#include "model/model.h"'
    plant src/ops/a.c '#include "model/model.h"'
    plant src/ops/a.c '#include "kernels/avx2/avx2.h"'
    plant src/kernels/avx2/a.c '#include "kernels/avx512/requant.h"'
    plant src/kernels/avxvnni/a.c '#include "kernels/avx512/requant.h"'
    plant src/kernels/neon/a.c '#include "kernels/avx2/avx2.h"'
    plant src/kernels/avx512/a.c '#include <simde/x86/avx512.h>'
    plant src/runtime/a.c '#include "float/engine.h"'
    plant src/onnx/a.c '#include "quant/quantize.h"'
    plant src/passes/a.c '#include "onnx/onnx.h"'
    plant src/data/a.c '#include "float/engine.h"'
    plant src/float/a.h '  #  include "quant/quantize.h"'
    plant src/quant/a.c '#include "runtime/engine.h"'
    plant src/quant/a.c '#include "cli/args.h"'
    plant src/quant/a.c '#include "plan/search.h"'
    plant src/plan/a.c '#include "data/dataset.h"'
    plant src/quant/a.c '#include "quantize.h"'
    plant src/somewhere/a.c '#include "base/arith.h"'
    plant include/narrow/a.h '#include "base/arith.h"'
    plant include/narrow/a.h '#include <stdio.h>'
    plant src/kernels/cpu.c '#include <immintrin.h>'
    plant src/kernels/ref/a.c '#include <immintrin.h>'
    plant src/runtime/engine.c '#include <xmmintrin.h>'
    plant src/kernels/avx2/a.c '#include <arm_neon.h>'
    plant src/float/plain.c '#include <oneapi/dnnl/dnnl.h>'
    plant src/runtime/a.c '#include <oneapi/dnnl/dnnl.h>'
    plant src/model/a.c '#include <protobuf-c/protobuf-c.h>'
    plant src/model/a.c '#include <zlib.h>'
    plant src/ops/a.c '#include <png.h>'
    plant src/base/a.c '#include <jpeglib.h>'
    plant src/ops/a.c '#include <cjson/cJSON.h>'
    plant src/ops/a.c '#include <pthreadpool.h>'
    for folder in work root home tmp; do # written in two parts, or this script would name the path itself
        plant docs/a.md "see /$folder""/somebody/narrow"
    done
    accept src/ops/a.c '#include "kernels/kernels.h"'
    accept src/kernels/avx2/a.c '#include <immintrin.h>'
    accept src/kernels/avx512vnni/a.c '#include "kernels/avx512/requant.h"'
    accept cli/a.c '#include "args.h"'
    accept src/runtime/fpenv.h '#include <xmmintrin.h>'
    accept docs/a.md 'see ../shared/work/this and $TMPDIR'
    echo "$tried lines tried, $wrong wrong answers"
    [ "$wrong" -eq 0 ]
}

if [ "${1:-}" = --selftest ]; then
    selftest
else
    check "${1:-$(dirname "$0")/..}"
fi
