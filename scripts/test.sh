#!/bin/sh
# Runs all tests by a command that takes `-m pytest`, as `make test` does: test.sh COMMAND [ARGUMENT ...]
# Most tests with real peers wait for a process, so one worker more than there are cores keeps these busy. A worker runs
# whole files, as a file's tests share their servers; the files that take longest come first.
set -eu

cd "$(dirname "$0")/.."
unset PYTHONDONTWRITEBYTECODE  # else each process would compile what it imports each time
exec "$@" -m pytest --numprocesses $(($(nproc) + 1)) --dist loadfile --no-loadscope-reorder tests/peers tests examples
