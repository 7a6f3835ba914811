#!/usr/bin/env bash
# All tests, or what the arguments name as pytest has it. Many wait for processes that they start, so two halves that
# take about as long run at the same time; what the one beside says comes last.
set -uo pipefail
cd "$(dirname "$0")/.."
pytest=(.venv/bin/python -m pytest)
[ $# -eq 0 ] || exec "${pytest[@]}" "$@"

beside=(tests/unit tests/jobs tests/recovery)
said=$(mktemp)
trap 'kill "$process" 2>/dev/null; rm -f "$said"' EXIT
"${pytest[@]}" -p no:cacheprovider "${beside[@]}" >"$said" 2>&1 &
process=$!
"${pytest[@]}" "${beside[@]/#/--ignore=}"
failed=$?
wait "$process"
beside_failed=$?
cat "$said"
exit $((failed > beside_failed ? failed : beside_failed))
