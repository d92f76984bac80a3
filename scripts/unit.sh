#!/bin/sh
# Runs the unit tests with a Python that has what they need (requirements/unit.txt): unit.sh PYTHON [PYTEST'S ARGUMENT ...]
# tests/support/real_peers.py says which they are. One worker more than there are cores keeps these busy while tests wait.
set -eu

cd "$(dirname "$0")/.."
python=$1
shift
exec "$python" -m pytest --unit --numprocesses $(($(nproc) + 1)) -rfE "$@"
