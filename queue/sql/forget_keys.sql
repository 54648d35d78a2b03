-- Forgets up to $2 idempotency keys older than $1 milliseconds. Returns how many.
SELECT mailroom.forget_keys($1::bigint * interval '1 millisecond', $2::integer)
