-- The queue at a glance, as JSON: depth by state, lane and place with the oldest, what is held with its remedy, who drains it, which logins are paused.
SELECT jsonb_build_object(
    'installation', (SELECT name FROM mailroom.installation),
    'messages', (SELECT count(*) FROM mailroom.queue),
    'depth', coalesce((
        SELECT jsonb_agg(to_jsonb(d) ORDER BY d.state, d.lane, d.route)
          FROM (SELECT state, lane, route, nullif(reason, '') AS reason, count(*) AS messages, min(enqueued_at) AS oldest,
                       min(run_at) FILTER (WHERE state IN ('deferred', 'scheduled', 'in_doubt')) AS next_attempt
                  FROM mailroom.depth GROUP BY state, lane, route, reason) d), '[]'),
    'holds', coalesce((
        SELECT jsonb_agg(to_jsonb(h) ORDER BY h.messages DESC, h.reason, h.subject)
          FROM (SELECT reason, subject, remedy, count(*) AS messages, min(enqueued_at) AS oldest
                  FROM mailroom.depth WHERE state = 'held' GROUP BY reason, subject, remedy) h), '[]'),
    'routes', coalesce((
        SELECT jsonb_agg(jsonb_build_object('key', p.key, 'account', p.subject, 'waiting', (SELECT count(*) FROM mailroom.queue q WHERE q.place_id = p.id AND q.state = 0),
                   'blocked_until', CASE WHEN p.blocked_until > clock_timestamp() THEN p.blocked_until END,
                   'blocked_why', CASE WHEN p.blocked_until > clock_timestamp() THEN p.blocked_why END, 'limited', p.limited, 'dispatcher', p.dispatcher,
                   'recipients_in_24_hours', CASE WHEN p.limited THEN (SELECT coalesce(sum(u.recipients), 0) FROM mailroom.route_usage u
                        WHERE u.place_id = p.id AND u.hour > date_trunc('hour', clock_timestamp()) - interval '24 hours') END) ORDER BY p.key)
          FROM mailroom.place p WHERE p.kind = 'route' AND (p.parked_at IS NOT NULL OR p.blocked_until > clock_timestamp())), '[]'),
    'limits', coalesce((SELECT jsonb_agg(to_jsonb(l) ORDER BY l.server, l.login) FROM mailroom.limits l), '[]'),
    'dispatchers', coalesce((
        SELECT jsonb_agg(jsonb_build_object('id', id, 'host', host, 'pid', pid, 'version', version, 'started_at', started_at, 'last_heartbeat', beat_at,
                                            'alive', beat_at + lease > clock_timestamp(), 'safety', safety) ORDER BY id)
          FROM mailroom.dispatcher), '[]'),
    'paused_logins', coalesce((
        SELECT jsonb_agg(jsonb_build_object('owner', owner, 'server', server, 'reason', reason, 'reply', reply, 'since', since) ORDER BY since)
          FROM mailroom.refused_login), '[]'),
    'stopped_senders', coalesce((
        SELECT jsonb_agg(jsonb_build_object('account', account, 'from', from_address, 'reply', reply, 'since', since) ORDER BY since)
          FROM mailroom.refused_sender), '[]'),
    'last_hour', (SELECT coalesce(jsonb_object_agg(outcome, n), '{}')
                    FROM (SELECT outcome, count(*) AS n FROM mailroom.log WHERE ended_at > clock_timestamp() - interval '1 hour' GROUP BY outcome) l))::text
