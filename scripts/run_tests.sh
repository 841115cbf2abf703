#!/usr/bin/env bash
# Runs the tests in parallel processes: run_tests.sh PYTHON JOBS PATH...
#
# Rarely, and never in the same test, a native thread of an engine crashes its whole process without
# a message. The test that was running then runs again, alone; a second crash fails.
set -uo pipefail
python=$1 jobs=$2
shift 2
export OMP_NUM_THREADS=1
# How the inputs of tests/brought went in this run, if they are among PATH.
record=${OUT:-out}/brought.json
rm -f "$record"
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# The files' order is that of tests/builders/file_order.py.
# A crashed process is not replaced: near the end of a run, pytest-xdist would then hang.
"$python" -m pytest -n "$jobs" --dist loadfile --no-loadscope-reorder --max-worker-restart 0 -m "not slow" --durations=40 --brought-record "$record" "$@" | tee "$log"
status=$?
died=$(grep -c "^worker '.*' crashed while running" "$log")
# With several processes, the others have run all the other tests.
if [ "$status" -ne 0 ] && [ "$died" -eq 1 ] && [ "$jobs" -gt 1 ]; then
    echo "== a test process died; what it was running and what failed is run again, alone"
    "$python" -m pytest -p no:xdist --last-failed --last-failed-no-failures none -m "not slow" "$@"
    status=$?
fi
exit "$status"
