#!/bin/sh
# The packages of the system that some tests need. Root installs them; anyone else is told which tests will be skipped.
set -eu
need=""
command -v chromium >/dev/null 2>&1 || need="$need chromium"
[ -z "$need" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing system packages:$need"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $need >/dev/null
else
    echo "Not root: tests that need$need will be skipped (tests marked 'browser')."
fi
