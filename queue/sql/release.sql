-- Moves up to $1 messages out of the holds and routes whose release was asked for, in their old order, back to be sorted; what is not to go yet
-- keeps its time. What is held again since then stays. All others get the same run_at, so that their ids keep the order, in which no UPDATE need find
-- them. What waited for its account stays as old as it is: settings may be saved every day. Returns how many were moved out of holds, and how many in all.
WITH wanted AS MATERIALIZED (SELECT id, kind, release_before FROM mailroom.place WHERE release_before IS NOT NULL),
picked AS MATERIALIZED (
    SELECT held.id, w.kind FROM wanted w CROSS JOIN LATERAL ( -- a range of the index for each place
        SELECT q.id FROM mailroom.queue q WHERE q.place_id = w.id AND q.run_at <= w.release_before AND q.state = 0
         ORDER BY q.lane, q.run_at, q.id + 0 LIMIT $1::integer FOR UPDATE SKIP LOCKED) held
     LIMIT $1::integer),
moved AS (
    UPDATE mailroom.queue q SET place_id = CASE WHEN q.cancelled THEN 2 WHEN q.crashes >= 2 THEN 1 ELSE 0 END, run_at = greatest(now(), q.not_before)
     WHERE q.id = ANY (ARRAY(SELECT id FROM picked))
    RETURNING q.id, q.uid, q.posted_by, q.lease_no),
told AS (
    INSERT INTO mailroom.story (generation, message_id, uid, posted_by, lease_no, event, note)
    SELECT i.history_generation, m.id, m.uid, m.posted_by, m.lease_no, 'released', 'a setting or a status changed'
      FROM moved m JOIN picked p USING (id) CROSS JOIN mailroom.installation i WHERE p.kind = 'hold'),
finished AS (
    UPDATE mailroom.place p SET release_before = NULL FROM wanted w
     WHERE p.id = w.id AND p.release_before = w.release_before
       AND NOT EXISTS (SELECT FROM mailroom.queue q WHERE q.place_id = p.id AND q.run_at <= w.release_before))
SELECT count(*) FILTER (WHERE kind = 'hold'), count(*) FROM picked
