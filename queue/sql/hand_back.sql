-- Hands back all that is leased to dispatcher $1, untried: it knows of none. Returns how many.
WITH moved AS (
    UPDATE mailroom.queue SET state = 0, lease_owner = NULL, dated_at = CASE WHEN doubts > 0 OR pinned IS NOT NULL THEN dated_at END
     WHERE lease_owner = $1::bigint AND state = 1 RETURNING 1)
SELECT count(*) FROM moved
