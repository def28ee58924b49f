#!/bin/sh
# Registers the namespace unless it is there. Reads TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE.
set -eu

attempt=0
until temporal operator cluster health >/dev/null 2>&1; do
    attempt=$((attempt + 1))
    if [ "$attempt" -ge 30 ]; then
        echo "the server at $TEMPORAL_ADDRESS does not answer" >&2
        exit 1
    fi
    sleep 2
done

if temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1; then
    echo "namespace $TEMPORAL_NAMESPACE is there"
else
    temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention 30d
fi
