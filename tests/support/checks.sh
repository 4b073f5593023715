# SPDX-License-Identifier: MIT
#
# checks.sh: what the check.sh of several folders share. Sourced, with $what set to what is checked and $root to the tree.
# $work is a temporary folder, which is gone at the end.

# shellcheck shell=sh disable=SC2154 # what and root are set by who sources this
work=$(mktemp -d "${TMPDIR:-/tmp}/weir-check.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

fail() {
    echo "$what: $*"
    exit 1
}

# What the command says is shown when it fails.
quietly() {
    "$@" >"$work/log" 2>&1 || {
        cat "$work/log"
        fail "failed: $*"
    }
}

# The program on README.md's first screen, and a project of CMake's for it, in the folder beside the program.
readme_program() {
    awk '/^```c$/ { on = 1; next } /^```$/ && on { exit } on' "$root/README.md"
}

# What it prints, as README.md shows it.
readme_output() {
    sed -n '/^\$ cc squares.c/{n;p;q}' "$root/README.md"
}

readme_cmake() {
    printf 'cmake_minimum_required(VERSION 3.18)\nproject(squares C)\nadd_executable(squares ../squares.c)\n'
    awk '/^```cmake$/ { on = 1; next } /^```$/ && on { exit } on' "$root/README.md"
}
