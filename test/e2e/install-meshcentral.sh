#!/bin/sh
# Installs the real MeshCentral server for the end-to-end suite, outside this package's own dependencies:
# it is 450 MB. Usage: test/e2e/install-meshcentral.sh [directory, default .e2e]
set -eu
dir="${1:-${MESHCENTRAL_DIR:-.e2e}}"
version=1.1.55
mkdir -p "$dir"
[ -f "$dir/package.json" ] || echo '{ "private": true }' > "$dir/package.json"
if [ -f "$dir/node_modules/meshcentral/package.json" ] && grep -q "\"version\": \"$version\"" "$dir/node_modules/meshcentral/package.json"; then
  echo "meshcentral@$version is already in $dir"
  exit 0
fi
npm install --prefix "$dir" --omit=optional --no-audit --no-fund --save-exact "meshcentral@$version"
