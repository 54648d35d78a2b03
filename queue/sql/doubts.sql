-- Up to $2 live messages that are in doubt, from behind the id $1 on, as JSON, each with the attempt that left it so; `next` is where the next page begins, if there may be one.
WITH page AS MATERIALIZED (
    SELECT d.* FROM mailroom.depth d WHERE d.doubts > 0 AND d.id > $1::bigint ORDER BY d.id LIMIT $2::integer)
SELECT jsonb_build_object(
    'doubts', coalesce((
        SELECT jsonb_agg(jsonb_build_object('id', p.id, 'uid', p.uid, 'state', p.state, 'reason', nullif(p.reason, ''), 'until', CASE WHEN p.state = 'in_doubt' THEN p.run_at END,
                   'times', p.doubts, 'category', p.category, 'user', p.user_code, 'batch', p.batch, 'recipients', p.recipients, 'to', c.recipients -> 0 ->> 'address',
                   'since', s.at, 'note', s.note, 'event', s.event, 'account', t.account, 'from', t.from_address, 'server', t.server, 'reply', t.reply,
                   'enqueued_at', p.enqueued_at) ORDER BY p.id)
          FROM page p
          JOIN mailroom.content c ON c.uid = p.uid AND c.id = p.id
          LEFT JOIN LATERAL (SELECT s.at, s.note, s.event FROM mailroom.story s
                              WHERE s.message_id = p.id AND s.uid = p.uid AND s.event IN ('in_doubt', 'lease_lost', 'late_outcome', 'quarantined', 'recovered')
                              ORDER BY s.at DESC LIMIT 1) s ON true
          LEFT JOIN LATERAL (SELECT t.account, t.from_address, t.server, t.reply FROM mailroom.story t
                              WHERE t.message_id = p.id AND t.uid = p.uid AND t.server IS NOT NULL ORDER BY t.at DESC LIMIT 1) t ON true), '[]'),
    'next', CASE WHEN (SELECT count(*) FROM page) = $2::integer THEN (SELECT max(id) FROM page) END)::text
