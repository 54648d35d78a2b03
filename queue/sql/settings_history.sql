-- Who changed what, the newest first.
SELECT jsonb_build_object('changes', coalesce(jsonb_agg(to_jsonb(h) ORDER BY h.id DESC), '[]'))::text
  FROM mailroom.settings_history($1::integer, $2::bigint) h
