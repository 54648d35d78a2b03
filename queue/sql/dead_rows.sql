-- Whether autovacuum does not keep up with the queue: dead rows, whether it is time for a VACUUM of ours, and whether this login may.
-- More than 20,000 dead rows and none for 5 minutes, or 200,000 and none for a minute: autovacuum, as the table sets it, would begin at 1,000 and look
-- every minute. One that is running holds a lock that everybody can see.
SELECT s.n_dead_tup,
       (s.n_dead_tup > 20000 AND coalesce(greatest(s.last_vacuum, s.last_autovacuum), '-infinity') < clock_timestamp() - interval '5 minutes'
        OR s.n_dead_tup > 200000 AND coalesce(greatest(s.last_vacuum, s.last_autovacuum), '-infinity') < clock_timestamp() - interval '1 minute')
       AND NOT EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'relation' AND l.relation = s.relid AND l.mode = 'ShareUpdateExclusiveLock'
                          AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())),
       pg_has_role(c.relowner, 'USAGE') OR EXISTS (SELECT FROM pg_database d WHERE d.datname = current_database() AND pg_has_role(d.datdba, 'USAGE')),
       c.relowner::regrole::text
  FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid WHERE s.relid = 'mailroom.queue'::regclass
