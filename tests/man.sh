#!/usr/bin/env bash
# man.sh PROGRAM PAGE: holds the manual page to what the program's --help prints: the same settings in the same order,
# with the same kinds of values and the same text, for every command.
set -euo pipefail
program=$1 page=$2
of_help() { # lines "--name KIND words..."
    "$program" "$1" --help | awk '/^settings:/ { on = 1; next } on && NF == 0 { exit }
        on && /^  --/ { if (line) print line; line = $0; next } on { line = line " " $0 } END { print line }' |
        sed -E 's/ +/ /g; s/^ //'
}
of_page() {
    awk -v want=".Ss $1" '$0 == want { on = 1; next } on && /^\.El/ { if (line) print line; exit }
        on && /^\.It/ { if (line) print line; line = "-" $3 " " $5; next } on && line { line = line " " $0 }' "$page"
}
plain() { # the page's sentences begin with a capital letter and end with a full stop
    sed -E 's/\.$//' | tr '[:upper:]' '[:lower:]'
}
faults=0 checked=0
for command in train eval predict info audit bench convert shapes; do
    diff <(of_help "$command" | plain) <(of_page "$command" | plain) || faults=1
    checked=$((checked + $(of_help "$command" | wc -l)))
done
if [[ $faults -ne 0 || $checked -lt 40 ]]; then
    echo "$page and --help differ (<: --help, >: manual page), or one of them is empty"
    exit 1
fi
echo "$checked settings agree"
