-- Forgets events that ended more than $1 milliseconds ago. Returns how many.
WITH gone AS (DELETE FROM mailroom.events WHERE until < clock_timestamp() - $1::bigint * interval '1 millisecond' RETURNING 1)
SELECT count(*) FROM gone
