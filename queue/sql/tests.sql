-- The last $1 test mails, the newest last.
SELECT jsonb_build_object('tests', coalesce(jsonb_agg(to_jsonb(t) ORDER BY t.id), '[]'))::text
  FROM (SELECT * FROM mailroom.test_mail ORDER BY id DESC LIMIT $1::integer) t
