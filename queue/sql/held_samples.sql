-- One message, the oldest, of each hold that settings release: is the reason still there?
SELECT p.id AS place, p.key, q.source, q.addressed, q.user_id, q.row_id, q.model_id, q.user_code, q.pinned::text
  FROM mailroom.place p CROSS JOIN LATERAL (
      SELECT * FROM mailroom.queue q WHERE q.place_id = p.id AND q.state = 0 ORDER BY q.lane, q.run_at, q.id + 0 LIMIT 1) q
 WHERE p.kind = 'hold' AND p.self_releasing AND p.release_before IS NULL
