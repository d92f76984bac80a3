#!/bin/sh
# Runs the unit tests with a Python that has what they need (requirements/unit.txt): unit.sh PYTHON [PYTEST'S ARGUMENT ...]
# tests/support/real_peers.py says which they are. Two workers for each core keep these busy while tests wait; one that is
# done takes tests of the others.
set -eu

cd "$(dirname "$0")/.."
python=$1
shift
unset PYTHONDONTWRITEBYTECODE  # else each worker would compile all tests each time
exec "$python" -m pytest --unit --numprocesses $(($(nproc) * 2)) --dist worksteal -rfE "$@"
