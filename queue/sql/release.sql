-- Moves up to $1 messages out of the holds whose release was asked for, in their old order, back to be sorted. What is held again since then stays.
-- All get the same run_at, so that their ids keep the order, in which no UPDATE need find them. Returns how many were moved.
WITH wanted AS MATERIALIZED (SELECT id, release_before FROM mailroom.place WHERE release_before IS NOT NULL),
picked AS MATERIALIZED (
    SELECT held.id FROM wanted w CROSS JOIN LATERAL ( -- a range of the index for each place
        SELECT q.id FROM mailroom.queue q WHERE q.place_id = w.id AND q.run_at <= w.release_before AND q.state = 0
         ORDER BY q.lane, q.run_at, q.id LIMIT $1::integer FOR UPDATE SKIP LOCKED) held
     LIMIT $1::integer),
moved AS (
    UPDATE mailroom.queue q SET place_id = 0, run_at = now() WHERE q.id = ANY (ARRAY(SELECT id FROM picked))
    RETURNING q.id, q.lease_no),
told AS (
    INSERT INTO mailroom.story (message_id, lease_no, event, note) SELECT id, lease_no, 'released', 'a setting or a status changed' FROM moved),
finished AS (
    UPDATE mailroom.place p SET release_before = NULL FROM wanted w
     WHERE p.id = w.id AND p.release_before = w.release_before
       AND NOT EXISTS (SELECT FROM mailroom.queue q WHERE q.place_id = p.id AND q.run_at <= w.release_before))
SELECT count(*) FROM moved
