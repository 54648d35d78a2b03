-- What the database is at present: the same text as long as it cannot have become an older one, by a restart with other files, a failover or a restore from a
-- dump; and the version of its schema.
SELECT concat_ws('/', extract(epoch FROM pg_postmaster_start_time()), d.oid, i.tableoid), (SELECT coalesce(max(m.version), 0) FROM mailroom.migrations m)
  FROM mailroom.installation i CROSS JOIN pg_database d WHERE d.datname = current_database()
