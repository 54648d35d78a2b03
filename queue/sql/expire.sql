-- Ends up to $1 waiting messages that are past their expiry, wherever they wait.
WITH picked AS MATERIALIZED (
    SELECT id FROM mailroom.queue WHERE expires_at <= now() AND state = 0 ORDER BY expires_at LIMIT $1::integer FOR UPDATE SKIP LOCKED),
gone AS (DELETE FROM mailroom.queue q USING picked p WHERE q.id = p.id RETURNING q.*)
INSERT INTO mailroom.log (id, uid, ended_at, outcome, enqueued_at, lane, source, addressed, attempts, doubts, lease_no, user_id, row_id, model_id, user_code, batch, reply)
SELECT id, uid, clock_timestamp(), 'expired', enqueued_at, lane, source, addressed, attempts, doubts, lease_no, user_id, row_id, model_id, user_code, batch,
       'not sent by ' || to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
  FROM gone
RETURNING id
