#!/bin/sh
# Makes Temporal's two databases, or brings them up to date. Where they are up to date, it does
# nothing: it may run at every start. The connection is in SQL_PLUGIN, SQL_HOST, SQL_PORT,
# SQL_USER and SQL_PASSWORD. The schemas are those inside the tool, so they fit its version.
set -eu
tool=${TEMPORAL_SQL_TOOL:-temporal-sql-tool}

prepare() { # database, schema
    "$tool" --database "$1" create-database
    "$tool" --database "$1" setup-schema --version 0.0
    "$tool" --database "$1" update-schema --schema-name "$2"
}

prepare temporal postgresql/v12/temporal
prepare temporal_visibility postgresql/v12/visibility
