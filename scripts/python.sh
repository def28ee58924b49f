#!/bin/sh
# Prints the path of a Python that Callboard runs on: 3.11, 3.12 or 3.13. $PYTHON wins.
set -eu

fits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))'
seen=
for name in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python; do
    # A shim can be on PATH and still not work, so it is asked.
    if "$name" -c "$fits" >/dev/null 2>&1; then
        exec "$name" -c 'import sys; print(sys.executable)'
    fi
    version=$("$name" --version 2>/dev/null) || continue
    seen="$seen $name is $version;"
done
printf '%s\n' "Callboard needs Python 3.11, 3.12 or 3.13.${seen:- There is no Python on PATH.}" \
    "Install one, or name one: make demo PYTHON=/path/to/python3.13" >&2
exit 1
