#!/usr/bin/env bash
# Runs gofmt, go mod tidy, go vet, golangci-lint and govulncheck in every
# module. It shows all faults before it fails.
#
# internal/kratos, internal/caddy and internal/oathkeeper get only gofmt and go
# mod tidy, because the other checks would compile a large dependency again for a
# main of ten lines.
set -uo pipefail
cd "$(dirname "$0")/.."

golangci=$1 govulncheck=$2 # the two programs, built by make
failed=0
step() { # title, command…
  local title=$1 begun=$SECONDS
  shift
  echo "lint: $title"
  "$@" || { failed=1; echo "lint: FAILED: $title"; }
  echo "lint: $((SECONDS - begun)) s for $title"
}

unformatted() {
  local files
  files=$(gofmt -l .)
  [ -z "$files" ] || { echo "not formatted, run gofmt -w:"; echo "$files"; return 1; }
}

unreachable= # set after the database of vulnerabilities did not answer
vulnerable() {
  local out status=0
  if [ "$unreachable" ]; then
    echo "lint: govulncheck SKIPPED in $dir, too"
    return 0
  fi
  out=$(timeout 300 "$govulncheck" ./... 2>&1) || status=$?
  if [ $status -ne 0 ] && grep -q 'fetching vulnerabilities' <<<"$out"; then
    unreachable=yes
    echo "lint: govulncheck SKIPPED in $dir: its database cannot be reached from here"
    return 0
  fi
  [ $status -eq 0 ] || echo "$out"
  return $status
}

step gofmt unformatted
config=$PWD/.golangci.yml
while read -r file; do
  dir=$(dirname "$file")
  cd "$dir" || exit 1
  step "go mod tidy in $dir" go mod tidy -diff
  if [ "$dir" != ./internal/kratos ] && [ "$dir" != ./internal/caddy ] && [ "$dir" != ./internal/oathkeeper ]; then
    step "go vet in $dir" go vet -tags torture ./...
    step "golangci-lint in $dir" "$golangci" run --allow-parallel-runners --config "$config" --build-tags torture ./...
    step "govulncheck in $dir" vulnerable
  fi
  cd - >/dev/null || exit 1
done < <(find . -name go.mod -not -path '*/testdata/*' -not -path './.*' | sort)
exit $failed
