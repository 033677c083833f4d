#!/usr/bin/env bash
# Makes sure that programs for the tests and the demo are installed:
#
#   scripts/deps.sh gcc postgresql chromium nginx haproxy nodejs
#
# As root, or with a sudo without a password, it installs missing programs
# from Debian or Ubuntu. Otherwise it names the packages and fails.
set -euo pipefail

have() {
  case $1 in
    gcc) command -v gcc >/dev/null && printf '#include <stdlib.h>\n' | gcc -E - >/dev/null 2>&1 ;;
    postgresql) command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ;;
    sqlite3) command -v sqlite3 >/dev/null ;;
    chromium) command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ;;
    nginx) command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] ;;
    haproxy) command -v haproxy >/dev/null || [ -x /usr/sbin/haproxy ] ;;
    python3-jwt) /usr/bin/python3 -c 'import jwt' 2>/dev/null ;;
    python3-cryptography) /usr/bin/python3 -c 'import cryptography' 2>/dev/null ;;
    nodejs) command -v node >/dev/null || command -v nodejs >/dev/null ;;
    *) echo "deps: unknown program $1" >&2; exit 2 ;;
  esac
}

# The packages that have a program. The first one that the system knows is installed.
candidates() {
  case $1 in
    chromium) echo chromium chromium-browser ;;
    nginx) echo nginx-light nginx ;;
    *) echo "$1" ;;
  esac
}

package() {
  local name
  for name in $(candidates "$1"); do
    if apt-cache show "$name" >/dev/null 2>&1; then echo "$name"; return; fi
  done
  candidates "$1" | cut -d' ' -f1
}

missing=()
for program in "$@"; do
  have "$program" || missing+=("$program")
done
[ ${#missing[@]} -gt 0 ] || exit 0

packages=()
as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo -n)
if command -v apt-get >/dev/null && "${as_root[@]}" true 2>/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  "${as_root[@]}" apt-get update -qq || true # an old package list may be enough
  for program in "${missing[@]}"; do packages+=("$(package "$program")"); done
  for name in "${packages[@]}"; do [ "$name" != gcc ] || packages+=(libc6-dev); done
  echo "deps: installing ${packages[*]}"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
  for program in "${missing[@]}"; do
    have "$program" || { echo "deps: ${packages[*]} installed, but $program is still missing" >&2; exit 1; }
  done
  exit 0
fi

for program in "${missing[@]}"; do packages+=("$(package "$program")"); done
for name in "${packages[@]}"; do [ "$name" != gcc ] || packages+=(libc6-dev); done
cat >&2 <<MSG
deps: missing: ${missing[*]}
deps: and this user may not install anything. Please run:

    sudo apt-get update && sudo apt-get install --no-install-recommends ${packages[*]}

MSG
exit 1
