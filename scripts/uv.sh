#!/bin/sh
# Runs uv with the given arguments. Where there is no uv, it is put into .callboard/uv first,
# with pip; nothing outside of the working folder is touched, so a Python that is managed by the
# system ("externally managed") does not mind.
set -eu
cd "$(dirname "$0")/.."

private=.callboard/uv
say() { printf '%s\n' "$*" >&2; }

# A shim can be on PATH and still not work, so it is asked.
works() { "$1" --version >/dev/null 2>&1; }

# uv trusts a list of authorities of its own. Behind a company's proxy that reads along, only the
# machine's list has the one that is needed; where there is one, it is used. (The second name is
# that of uv before 0.11.)
for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt \
    /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
    [ -s "$bundle" ] || continue
    export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}" UV_NATIVE_TLS="${UV_NATIVE_TLS:-true}"
    break
done

if works uv; then exec uv "$@"; fi
if works "$private/bin/uv"; then exec "$private/bin/uv" "$@"; fi

python=$(sh scripts/python.sh)
say "uv is not installed; putting it into $private"
mkdir -p .callboard
log=.callboard/uv.log
# Into a folder of its own: pip does that everywhere. Debian's Python has no pip, but mostly venv.
"$python" -m pip install --quiet --disable-pip-version-check --upgrade --target "$private" uv \
    >"$log" 2>&1 ||
    { rm -rf "$private" && "$python" -m venv "$private" >>"$log" 2>&1 &&
        "$private/bin/python" -m pip install --quiet --disable-pip-version-check uv >>"$log" 2>&1; } ||
    {
        tail -n 3 "$log" >&2
        say "uv could not be installed with $python (whole log: $log)."
        say "Install it (https://docs.astral.sh/uv), or give this Python pip or venv"
        say "(Debian, Ubuntu: apt install python3-venv), and try again."
        exit 1
    }
exec "$private/bin/uv" "$@"
