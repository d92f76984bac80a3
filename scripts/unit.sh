#!/bin/sh
# Runs the tests that need neither Keystone, Nova nor a checker of code: unit.sh PYTHON [PYTEST'S ARGUMENT ...]
# One that needs a database or a cache is skipped when there is none, also with CI=true.
set -eu

cd "$(dirname "$0")/.."
python=$1
shift
export CI=false
exec "$python" -m pytest --ignore tests/peers --ignore tests/bench --ignore tests/test_docs.py \
    --ignore tests/test_layers.py --ignore tests/server/test_fuzz.py --ignore tests/handlers/test_storms.py \
    --ignore tests/contract/test_faults.py --deselect tests/scaffold/test_project.py::test_its_code_is_clean "$@"
