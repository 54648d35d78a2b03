-- The queue as a doctor looks at it, as JSON: who drains it, what waits since when, what is held or paused, what can be written to. Reads all of it once.
SELECT jsonb_build_object(
    'dispatchers', coalesce((
        SELECT jsonb_agg(jsonb_build_object('host', d.host, 'pid', d.pid, 'version', d.version, 'keys', CASE WHEN d.key_ids <> '{}' THEN array_to_string(d.key_ids, ' ') ELSE d.key_id END, 'alive', d.beat_at + d.lease > clock_timestamp(),
                   'silent_for', CASE WHEN isfinite(d.beat_at) THEN greatest(extract(epoch FROM clock_timestamp() - d.beat_at), 0)::bigint END) ORDER BY d.id)
          FROM mailroom.dispatcher d), '[]'),
    'depth', coalesce((
        SELECT jsonb_agg(to_jsonb(w) ORDER BY w.messages DESC, w.reason, w.subject)
          FROM (SELECT d.state, CASE WHEN d.state <> 'held' THEN d.lane END AS lane, CASE WHEN d.state = 'held' THEN d.reason END AS reason,
                       CASE WHEN d.state = 'held' THEN d.subject END AS subject, CASE WHEN d.state = 'held' THEN d.remedy END AS remedy,
                       count(*) AS messages, extract(epoch FROM clock_timestamp() - min(d.run_at))::bigint AS due_for,
                       extract(epoch FROM clock_timestamp() - min(d.enqueued_at))::bigint AS oldest
                  FROM mailroom.depth d GROUP BY 1, 2, 3, 4, 5) w), '[]'),
    'paused_logins', coalesce((
        SELECT jsonb_agg(jsonb_build_object('owner', l.owner, 'account', l.account, 'server', l.server, 'reason', l.reason, 'reply', l.reply, 'since', l.since) ORDER BY l.since)
          FROM mailroom.refused_login l), '[]'),
    'stopped_senders', coalesce((
        SELECT jsonb_agg(jsonb_build_object('account', s.account, 'from', s.from_address, 'reply', s.reply, 'since', s.since) ORDER BY s.since)
          FROM mailroom.refused_sender s), '[]'),
    'blocked_routes', coalesce((
        SELECT jsonb_agg(jsonb_build_object('key', p.key, 'until', p.blocked_until, 'why', p.blocked_why) ORDER BY p.key)
          FROM mailroom.place p WHERE p.kind = 'route' AND p.blocked_until > clock_timestamp()), '[]'),
    'empty_generations', (SELECT jsonb_object_agg(g.ring, g.n) FROM (
        SELECT x.ring, count(*) FILTER (WHERE x.opened_at IS NULL) AS n FROM mailroom.generation x GROUP BY x.ring) g))::text
