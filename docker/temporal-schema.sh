#!/bin/sh
# Creates Temporal's two databases and brings their schemas to the image's version. Harmless to repeat; run it before a
# newer server starts. Connection: SQL_PLUGIN, SQL_HOST, SQL_PORT, SQL_USER, SQL_PASSWORD.
set -eu
schemas=${TEMPORAL_SCHEMA_DIR:-/etc/temporal/schema/postgresql/v12}
for pair in temporal:temporal temporal_visibility:visibility; do
  export SQL_DATABASE=${pair%%:*}
  temporal-sql-tool create-database
  temporal-sql-tool setup-schema -v 0.0
  temporal-sql-tool update-schema -d "$schemas/${pair##*:}/versioned"
done
