#!/bin/sh
# Waits for Temporal and makes the namespace that Nimbus works in. Harmless to repeat. Connection: TEMPORAL_ADDRESS,
# TEMPORAL_NAMESPACE. Histories of ended jobs are kept for RETENTION; their stories stay in the data directory.
set -eu
tries=0
until temporal operator cluster health >/dev/null 2>&1; do
  tries=$((tries + 1))
  if [ "$tries" -ge 60 ]; then
    echo "Temporal does not answer at $TEMPORAL_ADDRESS" >&2
    exit 1
  fi
  sleep 1
done
temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1 ||
  temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention "$RETENTION"
