#!/bin/sh
# Runs the unit tests with several sets of versions, as `make compat` does: compat.sh [unit|floors|openstack-RELEASE ...]
# Each set of versions, a file of requirements/ that `make lock` makes, has an environment of its own in .cache/compat.
set -eu

cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- unit floors $(cd requirements && ls openstack-*.txt | sed 's/\.txt$//')

install() {
    .venv/bin/uv venv --quiet --clear --python .venv/bin/python "$1"
    .venv/bin/uv pip install --quiet --python "$1" --require-hashes --requirement "requirements/$2.txt"
    .venv/bin/uv pip install --quiet --python "$1" --no-deps --no-build-isolation --editable . \
        $(for example in examples/*/pyproject.toml; do echo "--editable ${example%pyproject.toml}"; done)
    .venv/bin/uv pip check --quiet --python "$1"
}

run_tests() (
    # Older libraries use each other's deprecated names: only with the lock's versions are such warnings errors.
    export PYTEST_ADDOPTS="-W default::DeprecationWarning -W default::PendingDeprecationWarning --disable-warnings \
        --override-ini=cache_dir=$1/pytest"
    export PATH="$PWD/$1/bin:$PATH"
    # The second command is for tests that start processes, and so are not unit tests, but depend on uvicorn's version.
    sh scripts/unit.sh "$1/bin/python" &&
        "$1/bin/python" -m pytest -q tests/server/test_serve.py tests/server/test_supervisor.py
)

failed=
for versions in "$@"; do
    echo "Unit tests with requirements/$versions.txt"
    environment=.cache/compat/$versions
    install "$environment" "$versions"
    run_tests "$environment" || failed="$failed $versions"
done
[ -z "$failed" ] || { echo "Tests failed with:$failed" >&2; exit 1; }
