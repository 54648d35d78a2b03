-- The story of the message $1 (uid), as JSON: who sends it and why, each attempt, every recipient. No row: there is none.
WITH carried AS MATERIALIZED (
    SELECT c.id, c.uid, c.generation, c.recipients, c.document, c.form_code, c.model_code, c.attachments FROM mailroom.content c WHERE c.uid = $1::uuid),
message AS ( -- what it carried is cleared away before its story is
    SELECT * FROM carried
    UNION ALL
    SELECT l.id, l.uid, NULL, '[]', NULL, NULL, NULL, NULL FROM mailroom.log l WHERE l.uid = $1::uuid AND NOT EXISTS (SELECT FROM carried)
    LIMIT 1),
facts AS (
    SELECT q.id, q.posted_by, 'live' AS place, d.state, d.category, d.lane, q.user_code, q.row_id, q.model_id, q.batch, q.attempts, q.doubts, q.enqueued_at, q.expires_at, q.put_off_since,
           NULL::timestamptz AS ended_at, nullif(d.reason, '') AS reason, nullif(d.subject, '') AS subject, nullif(d.remedy, '') AS remedy,
           CASE WHEN d.state IN ('deferred', 'scheduled', 'in_doubt') THEN d.run_at END AS next_attempt
      FROM mailroom.queue q JOIN message m ON m.id = q.id CROSS JOIN LATERAL (SELECT * FROM mailroom.depth x WHERE x.id = q.id OFFSET 0) d
    UNION ALL
    SELECT l.id, l.posted_by, 'ended', l.outcome, mailroom.category(l.source, l.row_id, l.model_id, l.addressed), mailroom.lane_name(l.lane), l.user_code, l.row_id,
           l.model_id, l.batch, l.attempts, l.doubts, l.enqueued_at, NULL, NULL, l.ended_at, NULL, NULL, NULL, NULL
      FROM mailroom.log l JOIN message m ON m.uid = l.uid),
events AS (
    SELECT s.at, s.event, s.note, s.started_at, s.decision, s.table_row, s.account, s.from_address, s.sender, s.envelope_sender, s.server, s.stage, s.code, s.enhanced, s.reply
      FROM mailroom.story s JOIN message m ON m.id = s.message_id
    UNION ALL
    SELECT l.ended_at, l.outcome, NULL, l.started_at, l.decision, l.table_row, l.account, l.from_address, l.sender, l.envelope_sender, l.server, l.stage, l.code, l.enhanced, l.reply
      FROM mailroom.log l JOIN message m ON m.uid = l.uid)
SELECT (to_jsonb(f) - 'id' - 'place' - 'row_id' - 'model_id' || jsonb_build_object(
    'uid', m.uid, 'document', m.document, 'attachments', m.attachments,
    'form', coalesce((SELECT code FROM mailroom.rows WHERE id = f.row_id), m.form_code),
    'model', coalesce((SELECT code FROM mailroom.models WHERE id = f.model_id), m.model_code),
    'possible_duplicate', f.doubts > 0,
    'recipients', (
        SELECT jsonb_agg(jsonb_build_object('kind', r.value ->> 'kind', 'address', r.value ->> 'address',
                   'state', coalesce((ARRAY['open', 'accepted', 'refused', 'in_doubt'])[x.state + 1],
                                     CASE f.state WHEN 'sent' THEN 'accepted' WHEN 'failed' THEN 'refused' WHEN 'expired' THEN 'expired'
                                                  WHEN 'partly_sent' THEN 'accepted' ELSE 'open' END),
                   'code', x.code, 'enhanced', x.enhanced, 'reply', x.reply) ORDER BY r.ordinality)
          FROM jsonb_array_elements(m.recipients) WITH ORDINALITY r
          LEFT JOIN mailroom.recipient_result x ON x.generation = m.generation AND x.message_id = m.id AND x.position = r.ordinality - 1),
    'events', (SELECT coalesce(jsonb_agg(jsonb_strip_nulls(to_jsonb(e) - 'decision') || CASE WHEN d.id IS NULL THEN '{}' ELSE jsonb_build_object('why', d.why) END
                                         || CASE WHEN b.from_address IS NOT NULL AND (b.account, b.from_address, b.sender) IS DISTINCT FROM (e.account, e.from_address, e.sender)
                                                 THEN jsonb_build_object('identity_before', to_jsonb(b)) ELSE '{}' END
                                         ORDER BY e.at), '[]')
                 FROM events e LEFT JOIN LATERAL (SELECT * FROM mailroom.decision x WHERE x.id = e.decision OFFSET 0) d ON true
                 LEFT JOIN LATERAL ( -- who sent, the last time that anybody did; it may have changed while the message waited
                     SELECT x.account, x.from_address, x.sender FROM events x WHERE x.at < e.at AND x.from_address IS NOT NULL AND e.from_address IS NOT NULL
                      ORDER BY x.at DESC LIMIT 1) b ON true)))::text
  FROM message m JOIN facts f ON f.id = m.id
