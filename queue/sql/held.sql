-- What is held, as JSON: by reason, in it by subject, with how many, the oldest, and what ends it. The most first.
WITH subjects AS (
    SELECT reason, subject, remedy, count(*) AS messages, min(enqueued_at) AS oldest FROM mailroom.depth WHERE state = 'held' GROUP BY reason, subject, remedy),
reasons AS (
    SELECT reason, sum(messages) AS messages, min(oldest) AS oldest,
           jsonb_agg(jsonb_build_object('subject', subject, 'messages', messages, 'oldest', oldest, 'remedy', remedy) ORDER BY messages DESC, subject) AS subjects
      FROM subjects GROUP BY reason)
SELECT jsonb_build_object('installation', (SELECT name FROM mailroom.installation), 'messages', coalesce(sum(messages), 0),
                          'reasons', coalesce(jsonb_agg(to_jsonb(r) ORDER BY r.messages DESC, r.reason), '[]'))::text
  FROM reasons r
