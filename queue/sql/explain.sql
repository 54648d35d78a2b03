-- What decides who sends the message $1 (uid), as JSON, and where it stands now; of one that has ended (now is null), what would decide it once more. No row: there is none.
SELECT jsonb_build_object('mobile', q.source = 1, 'user_id', q.user_id, 'user_code', q.user_code, 'row_id', q.row_id, 'model_id', q.model_id, 'addressed', q.addressed,
                          'pinned', q.pinned::text,
                          'now', jsonb_build_object('state', d.state, 'reason', nullif(d.reason, ''), 'subject', nullif(d.subject, ''), 'remedy', nullif(d.remedy, ''),
                                     'next_attempt', CASE WHEN d.state IN ('deferred', 'scheduled', 'in_doubt') THEN d.run_at END))::text
  FROM mailroom.content c JOIN mailroom.queue q ON q.id = c.id CROSS JOIN LATERAL (SELECT * FROM mailroom.depth x WHERE x.id = q.id OFFSET 0) d WHERE c.uid = $1::uuid
UNION ALL
SELECT jsonb_build_object('mobile', l.source = 1, 'user_id', l.user_id, 'user_code', l.user_code, 'row_id', l.row_id, 'model_id', l.model_id, 'addressed', l.addressed,
                          'pinned', NULL, 'now', NULL)::text
  FROM mailroom.log l WHERE l.uid = $1::uuid
 LIMIT 1
