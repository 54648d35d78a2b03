-- Of each hold that settings release: what is decided alike there, once, by all that decides it. pinned is left out: it only keeps from being sent what
-- nothing else holds. Reads the ranges of these holds whole. seen_at: what comes there later was not seen.
SELECT p.id AS place, p.key, statement_timestamp()::text AS seen_at, alike.*, to_jsonb(alike)::text AS alike
  FROM mailroom.place p CROSS JOIN LATERAL (
      SELECT DISTINCT q.source, q.addressed, q.user_id, q.row_id, q.model_id, q.user_code FROM mailroom.queue q WHERE q.place_id = p.id AND q.state = 0) alike
 WHERE p.kind = 'hold' AND p.self_releasing AND p.release_before IS NULL
 ORDER BY p.id
