#!/bin/sh
# The instance's settings lie beside its run history: put them there before anything starts.
set -eu
mkdir -p "$DAGSTER_HOME" /data/cache
cp /app/dagster.yaml "$DAGSTER_HOME/dagster.yaml"
exec "$@"
