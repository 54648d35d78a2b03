-- Grants up to $3 recipients on the route $2, which the dispatcher $1 owns, out of $4 in any 24 hours; a negative $3 gives some back.
-- A grant is for the hour it was given in: what is left of it at its end is given back. Returns how many were granted, and if none were, after
-- how many milliseconds some will be; 0 and 0: the route is somebody else's.
SELECT g.granted, g.wait_ms FROM mailroom.grant_recipients($1::bigint, $2::integer, $3::integer, $4::integer) g
