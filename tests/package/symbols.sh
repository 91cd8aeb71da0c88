#!/usr/bin/env bash
# symbols.sh LIBRARY HEADER: the shared library exports the functions of the public header, all under a version of
# halfmask's, and nothing else; its soname is libhalfmask.so.0.
set -euo pipefail
library=$1 header=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The preprocessor takes comments out; what stands before a parenthesis and begins with hm_ is a function.
cpp -fpreprocessed -P "$header" 2>/dev/null | grep -v '^typedef' | grep -oE '\bhm_[a-z0-9_]+\(' | tr -d '(' | sort -u >"$work/declared"
nm -D --defined-only --with-symbol-versions "$library" | awk '$2 != "A" { print $3 }' | sort -u >"$work/exported"
sed -E 's/@.*//' "$work/exported" >"$work/names"
faults=0
diff "$work/declared" "$work/names" || faults=1
if grep -vE '@@?HALFMASK_[0-9]+\.[0-9]+$' "$work/exported"; then
    echo "exported without a version of halfmask's"
    faults=1
fi
readelf -d "$library" >"$work/dynamic"
if ! grep -q 'SONAME.*\[libhalfmask\.so\.0\]' "$work/dynamic"; then
    echo "the soname is not libhalfmask.so.0"
    faults=1
fi
count=$(wc -l <"$work/declared")
if [[ $faults -ne 0 || $count -lt 30 ]]; then
    echo "$header and what $library exports differ (<: header, >: library), or one of them is empty"
    exit 1
fi
echo "$count functions are exported, and nothing else"
