#!/bin/sh
# Runs the tests that need neither Keystone, Nova nor a checker of code: unit.sh PYTHON [PYTEST'S ARGUMENT ...]
# A test of theirs that needs a database or a cache is skipped when there is none, also with CI=true.
set -eu

cd "$(dirname "$0")/.."
python=$1
shift
export CI=false
exec "$python" -m pytest --ignore tests/contract --ignore tests/test_bench.py --ignore tests/test_bench_scaling.py \
    --ignore tests/test_bench_storm.py --ignore tests/test_docs.py --ignore tests/test_fuzz.py \
    --ignore tests/test_layers.py --ignore tests/test_storms.py --ignore tests/test_contract_faults.py \
    --deselect tests/test_new.py::test_its_code_is_clean "$@"
