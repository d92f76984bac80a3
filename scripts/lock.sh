#!/bin/sh
# Makes requirements/*.txt from pyproject.toml, as `make lock` does: lock.sh [--upgrade]
# `lock.sh --check` changes nothing and fails when they are not what it would make. What a file already pins is
# kept while it fits, so a new release elsewhere is no difference.
set -eu

cd "$(dirname "$0")/.."
root=$PWD
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -R pyproject.toml requirements "$copy"

compile() {
    output=$1
    shift
    "$root/.venv/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --custom-compile-command "make lock" --output-file "requirements/$output.txt" "$@"
}

# dev.txt holds all the others, and so says their versions.
compile_all() {
    compile dev pyproject.toml --all-extras --group build --group dev "$@" &&
        compile demo pyproject.toml --extra demo --group build --constraint requirements/dev.txt "$@" &&
        compile runtime pyproject.toml --extra postgresql --extra mysql --extra redis --extra memcached \
            --constraint requirements/dev.txt "$@" &&
        compile uv --group uv "$@"
}

cd "$copy"
if [ "${1:-}" != --check ]; then
    compile_all "$@"
    # A file that stays the same keeps its time, and make reinstalls nothing.
    for file in requirements/*.txt; do
        cmp -s "$file" "$root/$file" || cp "$file" "$root/$file"
    done
    exit
fi

# The cache knows enough most of the time; the registry is asked when it does not.
if ! compile_all --offline 2>/dev/null && ! compile_all; then
    echo "The lock could not be checked: the versions could not be worked out (see above). Without a network this" \
        "needs what an earlier make lock or make check left in .cache." >&2
    exit 1
fi
if ! diff -r "$root/requirements" requirements >difference; then
    head -n 20 difference >&2
    echo "The lock does not fit pyproject.toml: run make lock." >&2
    exit 1
fi
