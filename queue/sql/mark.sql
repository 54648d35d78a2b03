-- Marks messages of dispatcher $1 for the case that it dies, or because it did; only where the lease still holds. One that somebody has locked is busy: asked for
-- again. $2 an array of objects: id, lease_no, is_begun (else it was carried), doubt_ms. Returns the ids marked, and those that are busy.
WITH given AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($2::jsonb) AS e(id bigint, lease_no integer, is_begun boolean, doubt_ms bigint)),
locked AS MATERIALIZED (
    SELECT l.id FROM given g CROSS JOIN LATERAL ( -- each by its id, whatever the planner thinks of the rest
        SELECT q.id FROM mailroom.queue q
         WHERE q.id = g.id AND q.lease_no = g.lease_no AND q.lease_owner = $1::bigint AND q.state = 1 FOR NO KEY UPDATE SKIP LOCKED) l),
marked AS (
    UPDATE mailroom.queue q
       SET carried_no = q.lease_no, begun_no = CASE WHEN g.is_begun THEN q.lease_no ELSE q.begun_no END, doubt_ms = CASE WHEN g.is_begun THEN g.doubt_ms ELSE q.doubt_ms END
      FROM given g WHERE q.id = g.id AND q.id = ANY (ARRAY(SELECT id FROM locked))
    RETURNING q.id)
SELECT id, false AS busy FROM marked
UNION ALL
SELECT b.id, true FROM given g CROSS JOIN LATERAL (
    SELECT q.id FROM mailroom.queue q WHERE q.id = g.id AND q.lease_no = g.lease_no AND q.lease_owner = $1::bigint AND q.state = 1 OFFSET 0) b
 WHERE (SELECT count(*) FROM locked) < (SELECT count(*) FROM given) AND b.id <> ALL (ARRAY(SELECT id FROM locked))
