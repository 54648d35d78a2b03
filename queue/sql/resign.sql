-- Takes dispatcher $1 off the list, unless it still has leases: then its heartbeat runs out and others reap them.
DELETE FROM mailroom.dispatcher d WHERE d.id = $1::bigint AND NOT EXISTS (SELECT FROM mailroom.queue q WHERE q.state = 1 AND q.lease_owner = d.id)
