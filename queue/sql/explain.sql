-- What decides who sends the live message $1 (uid), as JSON. No row: it does not wait.
SELECT jsonb_build_object('mobile', q.source = 1, 'user_id', q.user_id, 'user_code', q.user_code, 'row_id', q.row_id, 'model_id', q.model_id, 'addressed', q.addressed,
                          'pinned', q.pinned::text)::text
  FROM mailroom.content c JOIN mailroom.queue q ON q.id = c.id WHERE c.uid = $1::uuid
