-- Enters this process as a dispatcher. $1 host, $2 pid, $3 version, $4 key id or NULL, $5 lease in milliseconds.
-- One that has a key frees what waited for it.
WITH freed AS (
    UPDATE mailroom.place SET release_before = clock_timestamp() WHERE reason = 'key_missing' AND $4::text IS NOT NULL)
INSERT INTO mailroom.dispatcher (host, pid, version, key_id, lease)
VALUES ($1, $2::integer, $3, $4::text, $5::bigint * interval '1 millisecond')
RETURNING id
