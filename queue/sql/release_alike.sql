-- Moves up to $4 messages out of the hold $1 that came there until $3 and are decided as one of $2 (a JSON array of what held_alike.sql has as alike), in their
-- old order, back to be sorted, as release.sql does with whole holds. Returns how many.
WITH picked AS MATERIALIZED (
    SELECT q.id FROM mailroom.queue q
     WHERE q.place_id = $1::integer AND q.run_at <= $3::timestamptz AND q.state = 0
       AND ((q.source, q.addressed, coalesce(q.user_id, 0), coalesce(q.row_id, 0), coalesce(q.model_id, 0), coalesce(q.user_code, ''))
            IN (SELECT a.source, a.addressed, coalesce(a.user_id, 0), coalesce(a.row_id, 0), coalesce(a.model_id, 0), coalesce(a.user_code, '')
                  FROM jsonb_to_recordset($2::jsonb) AS a(source smallint, addressed boolean, user_id integer, row_id integer, model_id integer, user_code text)))
           IS TRUE -- hashed once, and not joined: there may be thousands of either
     ORDER BY q.lane, q.run_at, q.id + 0 LIMIT $4::integer FOR UPDATE SKIP LOCKED),
moved AS (
    UPDATE mailroom.queue q SET place_id = CASE WHEN q.cancelled THEN 2 WHEN q.crashes >= 2 THEN 1 ELSE 0 END, run_at = greatest(now(), q.not_before)
     WHERE q.id = ANY (ARRAY(SELECT id FROM picked))
    RETURNING q.id, q.uid, q.posted_by, q.lease_no),
told AS (
    INSERT INTO mailroom.story (generation, message_id, uid, posted_by, lease_no, event, note)
    SELECT i.history_generation, m.id, m.uid, m.posted_by, m.lease_no, 'released', 'a setting or a status changed'
      FROM moved m CROSS JOIN mailroom.installation i)
SELECT count(*) FROM picked
