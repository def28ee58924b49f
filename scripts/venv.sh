#!/bin/sh
# Makes .venv from the committed lock; arguments go to uv (--extra claude). Takes a few
# milliseconds when neither the lock nor the arguments changed since.
set -eu
cd "$(dirname "$0")/.."

stamp=.venv/.callboard-synced
wanted=$(cksum pyproject.toml uv.lock)
now="$wanted
$*"
if [ -x .venv/bin/python ] && [ -f "$stamp" ]; then
    then=$(cat "$stamp")
    [ "$now" = "$then" ] && exit 0
    # What was asked for once (an extra) is there for those who ask for less.
    case "$then" in "$wanted"*) [ $# -eq 0 ] && exit 0 ;; esac
fi

printf '%s\n' "making .venv from uv.lock (about 300 MB the first time)" >&2
if [ ! -x .venv/bin/python ]; then
    python=$(sh scripts/python.sh)
    sh scripts/uv.sh venv --quiet --allow-existing --python "$python" .venv
fi
# Inexact: an extra that somebody installed stays.
sh scripts/uv.sh sync --locked --inexact --quiet "$@"
printf '%s\n' "$now" >"$stamp"
