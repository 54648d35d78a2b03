-- The same of all of them.
SELECT jsonb_agg(mailroom.settings_shown(a.kind, a.code) ORDER BY a.position, a.code)::text
  FROM (SELECT 1 AS position, 'general' AS kind, '' AS code UNION ALL SELECT 2, 'user', code FROM mailroom.users
        UNION ALL SELECT 3, 'row', code FROM mailroom.rows UNION ALL SELECT 4, 'model', code FROM mailroom.models) a
