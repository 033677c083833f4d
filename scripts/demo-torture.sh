#!/bin/sh
# Runs the demo's journey many times beside a load. The link hook is delayed by a random time. In every second run the server
# reconciles once a second. The script exits with 0 if each run did and the load never stopped.
#
#   RUNS=30 BURNERS=8 HOLD=2s scripts/demo-torture.sh
#
# The load ends with the script, and after two hours at the latest.
set -eu
cd "$(dirname "$0")/../examples/notes"
runs=${RUNS:-30} burners=${BURNERS:-8}
work=$(mktemp -d)
pids=
end() {
	for pid in $pids; do kill "$pid" 2>/dev/null || :; done
	rm -rf "$work"
}
trap end EXIT
trap 'exit 130' INT TERM HUP

go build -o "$work/demo" ./cmd/demo
n=0
while [ "$n" -lt "$burners" ]; do
	timeout 7200 sh -c 'while :; do :; done' &
	pids="$pids $!"
	n=$((n + 1))
done

run=0 failed=0
while [ "$run" -lt "$runs" ]; do
	run=$((run + 1))
	begun=$(date +%s) status=0
	every=10m
	[ $((run % 2)) = 1 ] || every=1s
	SYMBOLON_DEMO_HOLD_LINK=${HOLD:-2s} SYMBOLON_RECONCILE_EVERY=$every "$work/demo" -once >"$work/out" 2>&1 || status=$?
	[ "$status" = 0 ] || failed=$((failed + 1))
	again=$(grep -cE 'tried again|gave up' "$work/out" || :)
	echo "run $run: exit $status after $(($(date +%s) - begun)) s, load $(cut -d" " -f1 /proc/loadavg 2>/dev/null), $again answers not in time.$(grep 'was linked by' "$work/out" || :)"
	[ "$status" = 0 ] || cat "$work/out"
	for pid in $pids; do kill -0 "$pid" || { echo "a process of the load has ended"; exit 1; }; done
done
echo "$runs runs beside $burners burners, $failed failed"
[ "$failed" = 0 ]
