-- Messages leased to a dispatcher that is not listed any more: lists it again as dead, so that its leases are reaped. Returns how many dispatchers.
WITH found AS (
    SELECT DISTINCT q.lease_owner AS id FROM mailroom.queue q
     WHERE q.state = 1 AND q.leased_at < clock_timestamp() - interval '1 minute'
       AND NOT EXISTS (SELECT FROM mailroom.dispatcher d WHERE d.id = q.lease_owner)),
listed AS (
    INSERT INTO mailroom.dispatcher (id, host, pid, version, lease, beat_at) OVERRIDING SYSTEM VALUE
    SELECT id, 'unknown', 0, 'unknown', interval '1 second', '-infinity' FROM found ON CONFLICT DO NOTHING RETURNING 1)
SELECT count(*) FROM listed
