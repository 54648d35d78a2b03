-- The mail settings as JSON, for an administrator; of passwords only whether there is one. status: null where nothing signs in.
SELECT jsonb_build_object(
    'general', (SELECT to_jsonb(g) - 'singleton' - 'mode_saved' - 'password' - 'password_server' - 'token' - 'from_address' || jsonb_build_object('from', from_address, 'has_password', password IS NOT NULL, 'default_user_mode', mailroom.default_user_mode(g),
               'status', s.status) FROM mailroom.general g JOIN mailroom.statuses() s ON s.owner = 0),
    'users', coalesce((SELECT jsonb_agg(to_jsonb(u) - 'id' - 'password' - 'password_server' - 'token' - 'from_address' || jsonb_build_object('from', from_address, 'has_password', password IS NOT NULL,
               'status', s.status) ORDER BY code) FROM mailroom.users u JOIN mailroom.statuses() s ON s.owner = u.id), '[]'),
    'forms', coalesce((SELECT jsonb_agg(to_jsonb(r) - 'id' - 'from_address' || jsonb_build_object('from', from_address) ORDER BY code) FROM mailroom.rows r), '[]'),
    'models', coalesce((SELECT jsonb_agg(to_jsonb(m) - 'id' - 'from_address' || jsonb_build_object('from', from_address) ORDER BY code) FROM mailroom.models m), '[]'),
    'paused_logins', coalesce((SELECT jsonb_agg(jsonb_build_object('owner', owner, 'server', server, 'reason', reason, 'reply', reply, 'since', since)) FROM mailroom.refused_login), '[]'))::text
