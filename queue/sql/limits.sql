-- What servers let their accounts do, as JSON; 0: no limit.
SELECT jsonb_build_object('limits', coalesce((SELECT jsonb_agg(to_jsonb(l) ORDER BY l.server, l.login) FROM mailroom.limits l), '[]'))::text
