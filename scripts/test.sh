#!/bin/sh
# Runs all tests by a command that takes `-m pytest`, as `make test` does: test.sh COMMAND [ARGUMENT ...]
# It runs them in two halves side by side: those with real peers mostly wait for processes to start, and leave one of two
# cores idle. Prints the one half as it goes, then the other; fails when either does. With CI=true there is time for one
# half after the other: tests with deadlines meet nobody then.
set -u

cd "$(dirname "$0")/.."
mkdir -p .cache
if [ "${CI:-}" = true ]; then
    "$@" -m pytest tests/peers
    peers=$?
    "$@" -m pytest --ignore tests/peers
    others=$?
else
    log=.cache/contract.log
    "$@" -m pytest tests/peers >"$log" 2>&1 &
    contract=$!
    trap 'kill $contract 2>/dev/null' EXIT INT TERM
    "$@" -m pytest --ignore tests/peers
    others=$?
    echo "The tests against real peers (they ran meanwhile):"
    wait $contract
    peers=$?
    trap - EXIT INT TERM
    cat "$log"
fi
[ "$others" -eq 0 ] && [ "$peers" -eq 0 ]
