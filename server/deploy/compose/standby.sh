#!/bin/sh
# Copies the primary when the folder is empty, and follows it.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  mkdir -p "$PGDATA"
  chmod 700 "$PGDATA"
  PGPASSWORD=$POSTGRES_PASSWORD pg_basebackup --pgdata="$PGDATA" --wal-method=stream \
    --checkpoint=fast --write-recovery-conf \
    --dbname="host=$PRIMARY_HOST port=${PRIMARY_PORT:-5432} user=replication application_name=standby"
fi
exec postgres "$@"
