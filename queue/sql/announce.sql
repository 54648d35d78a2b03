-- What dispatcher $1 says of itself beyond its heartbeat: $2 what its [safety] does, empty: nothing.
UPDATE mailroom.dispatcher SET safety = nullif($2, '') WHERE id = $1::bigint
