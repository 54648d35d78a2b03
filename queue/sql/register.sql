-- Enters this process as a dispatcher. $1 host, $2 pid, $3 version, $4 its key ids or NULL, $5 lease in milliseconds, $6 what it marks in the queue.
-- One that has a key frees what waited for it. Returns its id and token, and the identity of the database.
WITH freed AS (
    UPDATE mailroom.place SET release_before = clock_timestamp() WHERE reason = 'key_missing' AND $4::text[] IS NOT NULL)
INSERT INTO mailroom.dispatcher (host, pid, version, key_id, key_ids, lease, marks)
VALUES ($1, $2::integer, $3, ($4::text[])[1], coalesce($4::text[], '{}'), $5::bigint * interval '1 millisecond', $6)
RETURNING id, token::text, (SELECT identity::text FROM mailroom.installation)
