#!/usr/bin/env bash
# package.sh BUILD SOURCE CC CXX FLAGS: installs a build into a folder, moves it elsewhere, builds the examples against it
# through pkg-config and through find_package, shared and static, as C and C++, and runs them on a small model and data.
set -euo pipefail
build=$1 source=$2 cc=$3 cxx=$4 flags=$5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

step() { echo "== $*"; }
expect() { # expect FILE WORDS: the file holds a line like this
    grep -qE "$2" "$1" || { echo "no line like \"$2\" in:"; cat "$1"; exit 1; }
}

step install
cmake --install "$build" --prefix "$work/first" >install.log
mv first prefix # nothing may hold to where it was installed
for file in bin/halfmask include/halfmask.h share/man/man1/halfmask.1; do
    [[ -f prefix/$file ]] || { echo "$file was not installed"; exit 1; }
done
pc=$(find prefix -name halfmask.pc)
[[ -n $pc ]] || { echo "halfmask.pc was not installed"; exit 1; }
pc=$(dirname "$pc")
lib=$(realpath "$pc/..")
[[ $(find prefix/include -type f | wc -l) -eq 1 ]] || { echo "more than halfmask.h was installed as a header"; exit 1; }
export PKG_CONFIG_PATH=$work/$pc

step "a model and data"
prefix/bin/halfmask shapes data --train 4 --valid 2 --test 0 --size 64 >/dev/null
settings=(output_dir=run model=seg-micro resolution=48 multi_scale=false batch_size=1 grad_accum_steps=1 lr=1e-3 epochs=1
    device=cpu threads=2 num_workers=1 precision=fp32)
# An image of one colour with a lighter square.
{ printf 'P6\n64 48\n255\n'; for ((y = 0; y < 48; y++)); do for ((x = 0; x < 64; x++)); do
    ((x > 20 && x < 40 && y > 10 && y < 30)) && printf '\xf0\xe0\x30' || printf '\x30\x40\x50'; done; done; } >image.ppm

check_programs() { # check_programs FOLDER
    "$1/train" data 3 model.safetensors "${settings[@]}" >train.log
    expect train.log '^step 3: loss [0-9.]+, gradient [0-9.]+$'
    [[ $(grep -c '^step' train.log) -eq 3 ]]
    "$1/predict" model.safetensors image.ppm 0.001 >predict.log
    expect predict.log '^[1-9][0-9]* objects$'
    "$1/threads" model.safetensors image.ppm 0.001 >threads.log
    objects=$(sed -nE 's/^([0-9]+) objects$/\1/p' predict.log)
    expect threads.log "^$objects and $objects objects\$"
    "$1/classes" model.safetensors >classes.log
    [[ $(wc -l <classes.log) -eq 3 ]] || { cat classes.log; exit 1; }
    if "$1/train" data 1 model.safetensors batch_sise=2 2>error.log; then exit 1; fi
    expect error.log '"batch_sise".*did you mean "batch_size"\?'
    if "$1/predict" none.safetensors image.ppm 2>error.log; then exit 1; fi
    expect error.log 'none\.safetensors'
}

step "pkg-config"
[[ $(pkg-config --modversion halfmask) == "$(prefix/bin/halfmask --version | cut -d' ' -f2)" ]]
mkdir pc
strict="-Wall -Wextra -Wpedantic -Werror"
for name in predict train threads; do
    # shellcheck disable=SC2046,SC2086
    $cc -std=c11 $strict $flags "$source/examples/$name.c" -o "pc/$name" $(pkg-config --cflags --libs halfmask) -pthread
done
# shellcheck disable=SC2046,SC2086
$cxx -std=c++11 $strict $flags "$source/examples/classes.cpp" -o pc/classes $(pkg-config --cflags --libs halfmask)
LD_LIBRARY_PATH=$lib check_programs pc
LD_LIBRARY_PATH=$lib ldd pc/predict >ldd.log
expect ldd.log "libhalfmask\.so\.0 => $lib"

step "find_package"
cmake -S "$source/examples" -B cmake -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_C_COMPILER="$cc" \
    -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_C_FLAGS="$flags" -DCMAKE_CXX_FLAGS="$flags" >cmake.log
cmake --build cmake >cmake.log || { cat cmake.log; exit 1; }
check_programs cmake

step "the static library"
# shellcheck disable=SC2046,SC2086
$cc -std=c11 $flags "$source/examples/predict.c" -o pc/static $(pkg-config --cflags halfmask) \
    $(pkg-config --static --libs halfmask | sed 's/-lhalfmask/-l:libhalfmask.a/')
cmake -S "$source/tests/package/static" -B static -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_C_COMPILER="$cc" \
    -DCMAKE_C_FLAGS="$flags" -DEXAMPLES="$source/examples" >cmake.log
cmake --build static >cmake.log || { cat cmake.log; exit 1; }
for program in pc/static static/predict; do
    ldd "$program" >ldd.log
    if grep libhalfmask ldd.log; then echo "$program is not static"; exit 1; fi
    "$program" model.safetensors image.ppm 0.001 >static.log
    diff predict.log static.log
done
echo "the examples run: shared and static, through pkg-config and CMake"
