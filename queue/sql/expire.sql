-- Ends waiting messages whose time is over, wherever they wait, and those that were cancelled while a dispatcher had them: up to $1 of each. Over is the time
-- of what is past its expiry, and of what was first put off $2 milliseconds ago (NULL: no limit). What some recipients have got is partly sent.
WITH overdue AS MATERIALIZED (SELECT id FROM mailroom.queue WHERE expires_at <= now() AND state = 0 ORDER BY expires_at LIMIT $1::integer FOR UPDATE SKIP LOCKED),
given_up AS MATERIALIZED (
    SELECT id FROM mailroom.queue WHERE put_off_since <= now() - $2::bigint * interval '1 millisecond' AND state = 0 ORDER BY put_off_since LIMIT $1::integer
       FOR UPDATE SKIP LOCKED),
cancelled AS MATERIALIZED (SELECT id FROM mailroom.queue WHERE place_id = 2 AND state = 0 LIMIT $1::integer FOR UPDATE SKIP LOCKED),
gone AS (
    DELETE FROM mailroom.queue q WHERE q.id = ANY (ARRAY(SELECT id FROM overdue UNION SELECT id FROM given_up UNION SELECT id FROM cancelled)) RETURNING q.*)
INSERT INTO mailroom.log (generation, id, uid, ended_at, outcome, enqueued_at, lane, source, addressed, attempts, doubts, recipients, lease_no, user_id, row_id, model_id,
                          posted_by, user_code, batch, reply)
SELECT i.history_generation, g.id, g.uid, clock_timestamp(), CASE WHEN g.has_results THEN mailroom.end_unsent(g.generation, g.id, e.unsent) ELSE e.unsent END, g.enqueued_at,
       g.lane, g.source, g.addressed, g.attempts, g.doubts, g.recipients, g.lease_no, g.user_id, g.row_id, g.model_id, g.posted_by, g.user_code, g.batch,
       CASE WHEN g.cancelled THEN CASE WHEN g.doubts > 0 THEN 'in doubt when it was cancelled, and not sent again' ELSE 'cancelled' END
            ELSE CASE WHEN g.doubts > 0 THEN 'in doubt, and ' ELSE '' END ||
                 CASE WHEN g.expires_at <= now() THEN CASE WHEN g.doubts > 0 THEN 'not sent again by ' ELSE 'not sent by ' END
                                                      || to_char(g.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
                      ELSE 'given up after ' || justify_hours($2::bigint * interval '1 millisecond') END || coalesce('; last: ' || why.words, '') END
  FROM gone g CROSS JOIN mailroom.installation i CROSS JOIN LATERAL (SELECT CASE WHEN g.cancelled THEN 'cancelled' ELSE 'expired' END AS unsent) e
       LEFT JOIN LATERAL ( -- of its last try, or of its account, where it was never tried itself
           SELECT coalesce((SELECT concat_ws(' ', s.code, s.enhanced, s.reply) FROM mailroom.story s
                             WHERE s.message_id = g.id AND s.reply IS NOT NULL AND g.attempts + g.deferrals + g.doubts > 0 -- not sought in vain in every part
                             ORDER BY s.at DESC LIMIT 1),
                           (SELECT p.blocked_why FROM mailroom.place p WHERE p.id = g.place_id)) AS words) why ON NOT g.cancelled
RETURNING id, uid::text, user_code, recipients, outcome, reply, mailroom.category(source, row_id, model_id, addressed)
