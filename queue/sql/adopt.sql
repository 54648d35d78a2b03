-- Takes over a database that was copied from the installation $2: names it $1 and holds all that waits, whoever had leased it. Returns how many.
WITH named AS (UPDATE mailroom.installation SET name = $1, identity = gen_random_uuid(), settings_version = settings_version + 1),
forgotten AS (DELETE FROM mailroom.dispatcher),
place AS (
    INSERT INTO mailroom.place (key, kind, reason, subject, remedy)
    VALUES ('copied_from/' || $2, 'hold', 'copied_from', 'installation ' || $2, 'an operator decides: these messages may have been sent by the installation they were copied from')
    ON CONFLICT (key) DO UPDATE SET subject = excluded.subject RETURNING id),
moved AS (
    UPDATE mailroom.queue q SET place_id = CASE WHEN q.cancelled THEN 2 ELSE place.id END, state = 0, lease_owner = NULL, lease_no = q.lease_no + 1, run_at = clock_timestamp(),
           put_off_since = NULL
      FROM place RETURNING q.id, q.uid, q.posted_by, q.lease_no),
told AS (
    INSERT INTO mailroom.story (generation, message_id, uid, posted_by, lease_no, event, note)
    SELECT i.history_generation, m.id, m.uid, m.posted_by, m.lease_no, 'adopted', 'the database was copied from the installation ' || $2
      FROM moved m CROSS JOIN mailroom.installation i)
SELECT count(*) FROM moved
