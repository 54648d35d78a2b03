-- The batches of which something waits or that are held, with their messages by state, as JSON; the 1,000 with the oldest messages.
WITH waiting AS (
    SELECT batch, sum(n) AS messages, jsonb_object_agg(state, n) AS states, min(oldest) AS oldest
      FROM (SELECT batch, state, count(*) AS n, min(enqueued_at) AS oldest FROM mailroom.depth WHERE batch IS NOT NULL GROUP BY batch, state) s GROUP BY batch)
SELECT jsonb_build_object('batches', coalesce(jsonb_agg(to_jsonb(b) ORDER BY b.oldest, b.batch), '[]'))::text
  FROM (SELECT coalesce(w.batch, h.batch) AS batch, coalesce(w.messages, 0) AS messages, coalesce(w.states, '{}') AS states, w.oldest, h.held_by, h.held_at
          FROM waiting w FULL JOIN mailroom.held_batch h ON h.batch = w.batch ORDER BY w.oldest LIMIT 1000) b
