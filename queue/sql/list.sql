-- Up to $3 live messages that the filter $1 means, from behind the id $2 on, as JSON; `next` is where the next page begins, if there may be one.
WITH page AS MATERIALIZED (SELECT d.* FROM mailroom.selected($1::jsonb, $2::bigint, $3::integer) d)
SELECT jsonb_build_object(
    'messages', coalesce((
        SELECT jsonb_agg(jsonb_build_object('id', id, 'uid', uid, 'state', state, 'reason', nullif(reason, ''), 'subject', nullif(subject, ''),
                   'remedy', nullif(remedy, ''), 'until', CASE WHEN state IN ('deferred', 'in_doubt', 'scheduled') THEN run_at END,
                   'age', extract(epoch FROM clock_timestamp() - enqueued_at)::bigint, 'enqueued_at', enqueued_at, 'user', user_code, 'batch', batch,
                   'lane', lane, 'category', category, 'route', route, 'recipients', recipients, 'attempts', attempts, 'possible_duplicate', doubts > 0,
                   'posted_by', posted_by) ORDER BY id)
          FROM page), '[]'),
    'next', CASE WHEN (SELECT count(*) FROM page) = $3::integer THEN (SELECT max(id) FROM page) END)::text
