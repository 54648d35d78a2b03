-- Nothing is claimed from the route $1 for $2 milliseconds, because of $3; NULL: it is open again.
UPDATE mailroom.place SET blocked_until = clock_timestamp() + $2::bigint * interval '1 millisecond', blocked_why = $3 WHERE id = $1::integer
