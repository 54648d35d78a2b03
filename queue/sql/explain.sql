-- What decides who sends the message $1 (uid), as JSON; of one that has `ended`, what would decide it once more. No row: there is none.
SELECT jsonb_build_object('mobile', q.source = 1, 'user_id', q.user_id, 'user_code', q.user_code, 'row_id', q.row_id, 'model_id', q.model_id, 'addressed', q.addressed,
                          'pinned', q.pinned::text, 'ended', false)::text
  FROM mailroom.content c JOIN mailroom.queue q ON q.id = c.id WHERE c.uid = $1::uuid
UNION ALL
SELECT jsonb_build_object('mobile', l.source = 1, 'user_id', l.user_id, 'user_code', l.user_code, 'row_id', l.row_id, 'model_id', l.model_id, 'addressed', l.addressed,
                          'pinned', NULL, 'ended', true)::text
  FROM mailroom.log l WHERE l.uid = $1::uuid
 LIMIT 1
