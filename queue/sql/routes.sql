-- The routes where messages may stand, for the dispatcher $1: until when they are blocked (milliseconds from now), and who owns them.
SELECT p.id, p.key, p.limited, greatest(extract(epoch FROM p.blocked_until - clock_timestamp()) * 1000, 0)::bigint AS blocked_ms, coalesce(p.blocked_why, '') AS blocked_why,
       CASE WHEN p.dispatcher = $1::bigint THEN 1
            WHEN EXISTS (SELECT FROM mailroom.dispatcher d WHERE d.id = p.dispatcher AND d.beat_at + d.lease > clock_timestamp()) THEN 2 ELSE 0 END AS owned_by
  FROM mailroom.place p WHERE p.kind = 'route' AND p.parked_at IS NOT NULL
