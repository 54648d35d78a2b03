-- Enters this process as a dispatcher. $1 host, $2 pid, $3 version, $4 key id or NULL, $5 lease in milliseconds.
INSERT INTO mailroom.dispatcher (host, pid, version, key_id, lease)
VALUES ($1, $2::integer, $3, $4, $5::bigint * interval '1 millisecond')
RETURNING id
