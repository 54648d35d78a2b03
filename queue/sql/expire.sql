-- Ends up to $1 waiting messages that are past their expiry, wherever they wait. What some recipients have got is partly sent.
WITH picked AS MATERIALIZED (
    SELECT id FROM mailroom.queue WHERE expires_at <= now() AND state = 0 ORDER BY expires_at LIMIT $1::integer FOR UPDATE SKIP LOCKED),
gone AS (DELETE FROM mailroom.queue q USING picked p WHERE q.id = p.id RETURNING q.*)
INSERT INTO mailroom.log (id, uid, ended_at, outcome, enqueued_at, lane, source, addressed, attempts, doubts, lease_no, user_id, row_id, model_id, user_code, batch, reply)
SELECT id, uid, clock_timestamp(), CASE WHEN EXISTS (SELECT FROM mailroom.recipient_result r WHERE r.message_id = gone.id AND r.state = 1) THEN 'partly_sent' ELSE 'expired' END, enqueued_at, lane, source, addressed, attempts, doubts, lease_no, user_id, row_id, model_id, user_code, batch,
       CASE WHEN doubts > 0 THEN 'in doubt, and not sent again by ' ELSE 'not sent by ' END || to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
  FROM gone
RETURNING id
