-- The server and this login, as JSON: what any login may see, with or without our schema.
SELECT jsonb_build_object(
    'version', current_setting('server_version'), 'version_number', current_setting('server_version_num')::integer,
    'encoding', current_setting('server_encoding'), 'in_recovery', pg_is_in_recovery(),
    'tls', (SELECT s.version FROM pg_stat_ssl s WHERE s.pid = pg_backend_pid() AND s.ssl),
    'distant', coalesce(NOT (inet_server_addr() <<= '127.0.0.0/8' OR inet_server_addr() = '::1' OR inet_server_addr() = inet_client_addr()), false),
    'autovacuum', current_setting('autovacuum')::boolean AND current_setting('track_counts')::boolean,
    'connections_left', current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
        - (SELECT count(*) FROM pg_stat_activity a WHERE a.backend_type = 'client backend'),
    'max_connections', current_setting('max_connections')::integer,
    'login', current_user,
    'is_owner', (SELECT pg_has_role(n.nspowner, 'USAGE') FROM pg_namespace n WHERE n.nspname = 'mailroom'),
    'roles', coalesce((SELECT jsonb_agg(r.rolname ORDER BY r.rolname) FROM pg_roles r
                        WHERE r.rolname IN ('mailroom_producer', 'mailroom_mobile', 'mailroom_worker', 'mailroom_operator', 'mailroom_administrator')
                          AND pg_has_role(r.oid, 'USAGE')), '[]'))::text
