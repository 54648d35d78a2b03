-- The queue at this moment for a screen, as JSON. Bounded however much waits: the places of a kind share 100,000 messages of each lane that are counted, of
-- each place at most 10,000 and at least 10, and `more` says that there are others; rates come from the last 10,000 ends. Needs a session that plans by key.
-- $1: how many milliseconds the short rate is for.
WITH place AS MATERIALIZED (
    SELECT p.*, p.blocked_until > now() AS blocked, greatest(10, least(10000, 100000 / count(*) OVER (PARTITION BY p.kind))) AS most FROM mailroom.place p
     WHERE p.kind <> 'route' OR p.parked_at IS NOT NULL OR p.blocked_until > now()),
stands AS MATERIALIZED (
    SELECT p.id, p.kind, p.blocked, l.lane, due.*, later.*
      FROM place p CROSS JOIN (SELECT generate_series(0, 2)::smallint AS lane) l
      CROSS JOIN LATERAL (
          SELECT count(*) FILTER (WHERE f.state = 0) AS due, count(*) FILTER (WHERE f.state = 1) AS sending, count(*) > p.most AS more_due,
                 min(f.run_at) FILTER (WHERE f.state = 0) AS oldest
            FROM (SELECT q.state, q.run_at FROM mailroom.queue q WHERE q.place_id = p.id AND q.lane = l.lane AND q.run_at <= now()
                   ORDER BY q.run_at, q.id + 0 LIMIT p.most + 1) f) due
      CROSS JOIN LATERAL (
          SELECT count(*) FILTER (WHERE f.state = 1) AS sending_later, count(*) FILTER (WHERE f.state = 0 AND f.doubts > 0) AS in_doubt,
                 count(*) FILTER (WHERE f.state = 0 AND f.doubts = 0 AND f.tries > 0) AS deferred,
                 count(*) FILTER (WHERE f.state = 0 AND f.doubts = 0 AND f.tries = 0) AS scheduled, count(*) AS later, count(*) > p.most AS more_later
            FROM (SELECT q.state, q.doubts, q.attempts + q.deferrals AS tries FROM mailroom.queue q
                   WHERE q.place_id = p.id AND q.lane = l.lane AND q.run_at > now() ORDER BY q.run_at, q.id + 0 LIMIT p.most + 1) f) later),
counted AS (
    SELECT s.lane, c.state, sum(c.messages)::bigint AS messages, bool_or(c.more AND c.messages > 0) AS more, min(c.oldest) AS oldest
      FROM stands s CROSS JOIN LATERAL (VALUES
          (CASE WHEN s.kind = 'hold' THEN 'held' WHEN s.kind = 'cancelled' THEN 'cancelled' WHEN s.blocked THEN 'deferred' ELSE 'ready' END, s.due, s.more_due,
           CASE WHEN s.kind NOT IN ('hold', 'cancelled') AND s.blocked IS NOT TRUE THEN s.oldest END),
          ('sending', s.sending + s.sending_later, false, NULL),
          (CASE WHEN s.kind = 'hold' THEN 'held' ELSE 'in_doubt' END, s.in_doubt, s.more_later, NULL),
          (CASE WHEN s.kind = 'hold' THEN 'held' ELSE 'deferred' END, s.deferred, s.more_later, NULL),
          (CASE WHEN s.kind = 'hold' THEN 'held' ELSE 'scheduled' END, s.scheduled, s.more_later, NULL)) c(state, messages, more, oldest)
     GROUP BY s.lane, c.state HAVING sum(c.messages) > 0),
at_place AS (
    SELECT s.id, sum(s.due + s.in_doubt + s.deferred + s.scheduled)::bigint AS waiting, sum(s.sending + s.sending_later)::bigint AS sending, bool_or(s.more_due OR s.more_later) AS more
      FROM stands s GROUP BY s.id),
ended AS MATERIALIZED (
    SELECT l.outcome, l.ended_at FROM mailroom.log l WHERE l.generation = (SELECT i.history_generation FROM mailroom.installation i) ORDER BY l.xid DESC LIMIT 10001),
span AS (
    SELECT w.name, greatest(least(w.seconds, CASE WHEN c.n > 10000 THEN c.seconds END), 0.1) AS seconds -- as far as the last 10,000 reach
      FROM (VALUES ('interval', $1::integer / 1000.0), ('minute', 60.0)) w(name, seconds)
      CROSS JOIN (SELECT count(*) AS n, extract(epoch FROM clock_timestamp() - min(e.ended_at)) AS seconds FROM ended e) c)
SELECT jsonb_build_object(
    'installation', (SELECT i.name FROM mailroom.installation i), 'at', clock_timestamp(),
    'estimate', pg_stat_get_live_tuples('mailroom.queue'::regclass),
    'depth', coalesce((SELECT jsonb_agg(jsonb_build_object('state', c.state, 'lane', mailroom.lane_name(c.lane), 'messages', c.messages, 'more', c.more) ORDER BY c.state, c.lane)
                         FROM counted c), '[]'),
    'due_for', (SELECT coalesce(jsonb_object_agg(mailroom.lane_name(c.lane), extract(epoch FROM clock_timestamp() - c.oldest)::bigint), '{}') FROM counted c WHERE c.oldest IS NOT NULL),
    'rates', (SELECT jsonb_object_agg(r.name, to_jsonb(r) - 'name') FROM (
        SELECT s.name, round(s.seconds, 1) AS seconds, count(e.outcome) FILTER (WHERE e.outcome IN ('sent', 'partly_sent')) AS sent,
               count(e.outcome) FILTER (WHERE e.outcome IN ('failed', 'expired')) AS failed, count(e.outcome) FILTER (WHERE e.outcome = 'cancelled') AS cancelled
          FROM span s LEFT JOIN ended e ON e.ended_at > clock_timestamp() - s.seconds * interval '1 second' GROUP BY s.name, s.seconds) r),
    'accounts', coalesce((
        SELECT jsonb_agg(jsonb_build_object('key', p.key, 'account', p.subject, 'sending', a.sending, 'waiting', a.waiting, 'more', a.more,
                   'blocked_until', CASE WHEN p.blocked THEN p.blocked_until END, 'blocked_why', CASE WHEN p.blocked THEN p.blocked_why END,
                   'recipients_in_24_hours', CASE WHEN p.limited THEN (SELECT coalesce(sum(u.recipients), 0) FROM mailroom.route_usage u
                        WHERE u.place_id = p.id AND u.hour > date_trunc('hour', clock_timestamp(), 'UTC') - interval '24 hours') END,
                   'limits', (SELECT to_jsonb(l) - 'server' - 'login' FROM mailroom.limits l
                        WHERE l.server = lower(substring(p.key FROM '^[^/]*/(.*):[0-9]+/')) AND l.login IN ('*', substring(p.key FROM '^[^/]*/[^/]*/(.*)$'))
                        ORDER BY l.login = '*' LIMIT 1)) ORDER BY a.waiting DESC, p.key)
          FROM place p JOIN at_place a ON a.id = p.id WHERE p.kind = 'route'), '[]'),
    'holds', coalesce((
        SELECT jsonb_agg(jsonb_build_object('reason', p.reason, 'subject', p.subject, 'remedy', p.remedy, 'messages', a.waiting, 'more', a.more) ORDER BY a.waiting DESC, p.key)
          FROM place p JOIN at_place a ON a.id = p.id WHERE p.kind = 'hold' AND a.waiting > 0), '[]'),
    'paused_logins', (SELECT count(*) FROM mailroom.refused_login),
    'dispatchers', coalesce((
        SELECT jsonb_agg(jsonb_build_object('host', d.host, 'pid', d.pid, 'version', d.version, 'alive', d.beat_at + d.lease > clock_timestamp(),
                   'silent_for', CASE WHEN isfinite(d.beat_at) THEN greatest(extract(epoch FROM clock_timestamp() - d.beat_at), 0)::bigint END) ORDER BY d.id)
          FROM mailroom.dispatcher d), '[]'))::text
