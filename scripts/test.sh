#!/usr/bin/env bash
# All tests, or what the arguments name as pytest has it. Those of modules and jobs keep a core busy, and the others
# mostly wait for processes that they start, so both run at the same time; what the first say comes last.
set -uo pipefail
cd "$(dirname "$0")/.."
pytest=(.venv/bin/python -m pytest)
[ $# -eq 0 ] || exec "${pytest[@]}" "$@"

busy=(tests/unit tests/jobs)
said=$(mktemp)
trap 'kill "$beside" 2>/dev/null; rm -f "$said"' EXIT
"${pytest[@]}" -p no:cacheprovider "${busy[@]}" >"$said" 2>&1 &
beside=$!
"${pytest[@]}" "${busy[@]/#/--ignore=}"
waiting_failed=$?
wait "$beside"
busy_failed=$?
cat "$said"
exit $((waiting_failed > busy_failed ? waiting_failed : busy_failed))
