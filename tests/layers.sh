#!/usr/bin/env bash
# layers.sh ROOT: holds the #include lines of src/ and cli/ to the directions that docs/architecture.md draws, and file
# names to being unique. Prints every line that breaks them; checking nothing is a failure too.
set -euo pipefail
cd "$1"
faults=$(mktemp)
trap 'rm -f "$faults"' EXIT

# folder of src/: the folders of src/ that it may include, besides itself
declare -A sees=(
    [base]=""
    [io]="base"
    [data]="io base"
    [device]="base"
    [graph]="device base"
    [ops]="graph device base"
    [model]="ops graph base"
    [loss]="model ops graph base"
    [optim]="model ops graph base"
    [weights]="model ops graph data io base"
    [eval]="weights model ops graph device data io base"
    [api]="train eval weights optim loss model ops graph device data io base"
    [train]="eval weights optim loss model ops graph device data io base"
)

checked=0
while IFS=: read -r file line text; do
    target=$(sed -E 's/^#include "([^"]*)".*/\1/' <<<"$text")
    folder=${file#src/}
    folder=${folder%%/*}
    checked=$((checked + 1))
    if [[ $file == cli/* ]]; then
        [[ $target == halfmask.h || -f cli/$target ]] || echo "$file:$line: the program sees $target; only halfmask.h is public"
    elif [[ -z ${sees[$folder]+known} ]]; then
        echo "$file:$line: tests/layers.sh does not know src/$folder"
    elif [[ $target == halfmask.h ]]; then
        [[ $folder == base ]] || echo "$file:$line: include base/status.h instead of halfmask.h"
    elif [[ ! -f src/$target ]]; then
        echo "$file:$line: $target is not a path below src/"
    elif [[ " $folder ${sees[$folder]} " != *" ${target%%/*} "* ]]; then
        echo "$file:$line: src/$folder must not see $target"
    fi
done < <(grep -rnE '^#include "' src cli --include='*.c' --include='*.h' --include='*.cu' --include='*.cuh' | grep -vE '^src/ops/[a-z0-9_]+/test\.c:') >>"$faults"

# Test cases see the harness and their own op. The harness lies outside src/.
grep -rnE '^#include "' src/ops/*/test.c | grep -vE '"(opcheck/|ops/|graph/|base/)' |
    sed 's/$/: a case list sees opcheck, ops, graph and base/' >>"$faults" || true
# Kernels get what they need from the node: they build nothing.
grep -rnE '^#include "(model|loss|train|data|eval|optim|io)/' src/ops >>"$faults" || true
# Names of files are unique, but for those that every op has.
find src cli -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' | sed 's|.*/||' | grep -vxE 'cpu\.c|ref\.c|test\.c|cuda\.cu' | sort | uniq -d |
    sed 's/$/: the name of more than one file/' >>"$faults"
# The public header needs nothing but C.
grep -nE '^ *#include "' include/halfmask.h | sed 's|^|include/halfmask.h:|' >>"$faults" || true

if [[ -s $faults ]]; then
    cat "$faults"
    exit 1
fi
if [[ $checked -lt 100 ]]; then
    echo "only $checked #include lines were found below $1"
    exit 1
fi
echo "$checked #include lines follow the directions"
