#!/bin/sh
# Makes requirements/*.txt from pyproject.toml, as `make lock` does: lock.sh [--upgrade]
# upper-constraints-*.txt are copies of OpenStack's own (releases.openstack.org/constraints/upper/2026.1 and /master).
# `lock.sh --check` changes nothing and fails when they are not what it would make. What a file already pins is
# kept while it fits, so a new release elsewhere is no difference.
set -eu

cd "$(dirname "$0")/.."
root=$PWD
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -R pyproject.toml requirements "$copy"

STORES="--extra postgresql --extra mysql --extra redis --extra memcached"
TESTED="$STORES --extra listen --extra testing --group build --group unit"

compile() {
    output=$1
    shift
    "$root/.venv/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --custom-compile-command "make lock" --output-file "requirements/$output.txt" "$@"
}

# dev.txt holds all the others, and so says their versions; cloud.txt has more of OpenStack beside it.
compile_all() {
    compile dev pyproject.toml --all-extras --group build --group dev "$@" &&
        compile cloud pyproject.toml --all-extras --group build --group cloud --constraint requirements/dev.txt "$@" &&
        compile demo pyproject.toml --extra demo --group build --constraint requirements/dev.txt "$@" &&
        compile runtime pyproject.toml $STORES --constraint requirements/dev.txt "$@" &&
        compile unit pyproject.toml $TESTED --constraint requirements/dev.txt "$@" &&
        compile uv --group uv "$@" &&
        compile_compat
}

# What `make compat` installs: the lowest version of all that pyproject.toml names, and what an OpenStack release
# prescribes. What its constraints do not name comes from dev.txt, where they leave that a choice.
compile_compat() {
    # What is already pinned would count more than a bound that has become lower.
    lowest=$(grep -oE '"[A-Za-z0-9.-]+(\[[a-z]+\])?>=' pyproject.toml | sed 's/^"\([A-Za-z0-9.-]*\).*/--upgrade-package \1/')
    compile floors pyproject.toml $TESTED --resolution lowest-direct $lowest || return
    for constraints in requirements/upper-constraints-*.txt; do
        release=${constraints#requirements/upper-constraints-}
        release=${release%.txt}
        [ "$task" = check ] || cp requirements/dev.txt "requirements/openstack-$release.txt"
        compile "openstack-$release" pyproject.toml $TESTED --constraint "$constraints" || return
    done
}

task=lock
[ "${1:-}" != --check ] || task=check
cd "$copy"
if [ $task = lock ]; then
    compile_all "$@"
    # A file that stays the same keeps its time, and make reinstalls nothing.
    for file in requirements/*.txt; do
        cmp -s "$file" "$root/$file" || cp "$file" "$root/$file"
    done
    exit
fi

same() {
    diff -r "$root/requirements" requirements >difference
}

# The cache knows enough most of the time; the registry is asked when it does not, or not of all versions.
if (UV_OFFLINE=1 && export UV_OFFLINE && compile_all) 2>/dev/null && same; then
    exit
fi
rm -r requirements && cp -R "$root/requirements" .
if ! compile_all; then
    echo "The lock could not be checked: the versions could not be worked out (see above). Without a network this" \
        "needs what an earlier make lock or make check left in .cache." >&2
    exit 1
fi
if ! same; then
    head -n 20 difference >&2
    echo "The lock does not fit pyproject.toml: run make lock." >&2
    exit 1
fi
