-- Moves up to $1 messages out of the holds whose release was asked for, in their old order, back to be sorted. What is held again since then stays.
-- Returns how many were moved.
WITH wanted AS MATERIALIZED (SELECT id, release_before FROM mailroom.place WHERE release_before IS NOT NULL),
picked AS MATERIALIZED (
    SELECT q.id FROM mailroom.queue q JOIN wanted w ON w.id = q.place_id
     WHERE q.run_at <= w.release_before AND q.state = 0
     ORDER BY q.place_id, q.lane, q.run_at, q.id LIMIT $1::integer FOR UPDATE OF q SKIP LOCKED),
moved AS (
    UPDATE mailroom.queue q SET place_id = 0, run_at = clock_timestamp() FROM picked p WHERE q.id = p.id RETURNING q.id, q.lease_no),
told AS (
    INSERT INTO mailroom.story (message_id, lease_no, event, note) SELECT id, lease_no, 'released', 'a setting or a status changed' FROM moved),
finished AS (
    UPDATE mailroom.place p SET release_before = NULL FROM wanted w
     WHERE p.id = w.id AND p.release_before = w.release_before
       AND NOT EXISTS (SELECT FROM mailroom.queue q WHERE q.place_id = p.id AND q.run_at <= w.release_before))
SELECT count(*) FROM moved
