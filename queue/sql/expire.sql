-- Ends waiting messages that are past their expiry, wherever they wait, and those that were cancelled while a dispatcher had them: up to $1 of
-- each. What some recipients have got is partly sent.
WITH overdue AS MATERIALIZED (SELECT id FROM mailroom.queue WHERE expires_at <= now() AND state = 0 ORDER BY expires_at LIMIT $1::integer FOR UPDATE SKIP LOCKED),
cancelled AS MATERIALIZED (SELECT id FROM mailroom.queue WHERE place_id = 2 AND state = 0 LIMIT $1::integer FOR UPDATE SKIP LOCKED),
gone AS (DELETE FROM mailroom.queue q WHERE q.id = ANY (ARRAY(SELECT id FROM overdue UNION SELECT id FROM cancelled)) RETURNING q.*)
INSERT INTO mailroom.log (generation, id, uid, ended_at, outcome, enqueued_at, lane, source, addressed, attempts, doubts, recipients, lease_no, user_id, row_id, model_id,
                          posted_by, user_code, batch, reply)
SELECT i.history_generation, g.id, g.uid, clock_timestamp(), CASE WHEN g.has_results THEN mailroom.end_unsent(g.generation, g.id, e.unsent) ELSE e.unsent END, g.enqueued_at,
       g.lane, g.source, g.addressed, g.attempts, g.doubts, g.recipients, g.lease_no, g.user_id, g.row_id, g.model_id, g.posted_by, g.user_code, g.batch,
       CASE WHEN g.cancelled THEN CASE WHEN g.doubts > 0 THEN 'in doubt when it was cancelled, and not sent again' ELSE 'cancelled' END
            ELSE CASE WHEN g.doubts > 0 THEN 'in doubt, and not sent again by ' ELSE 'not sent by ' END || to_char(g.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') END
  FROM gone g CROSS JOIN mailroom.installation i CROSS JOIN LATERAL (SELECT CASE WHEN g.cancelled THEN 'cancelled' ELSE 'expired' END AS unsent) e
RETURNING id
