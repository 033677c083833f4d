#!/usr/bin/env bash
# Runs every fuzz target of every module for this long each:
#
#   scripts/fuzz.sh 30s
set -euo pipefail
cd "$(dirname "$0")/.."

grep -rlE '^func Fuzz[A-Za-z0-9_]+\(' --include='*_test.go' . | xargs -rn1 dirname | sort -u | while read -r dir; do
  (
    cd "$dir"
    for target in $(go test -list '^Fuzz' . | grep '^Fuzz'); do
      echo "fuzz: $dir $target"
      go test -run '^$' -fuzz "^$target\$" -fuzztime "$1" .
    done
  )
done
