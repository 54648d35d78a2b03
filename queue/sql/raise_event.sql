-- Tells operators of what goes wrong, once: dispatcher $1 sees $2, an array of objects (queue/event_store: RaisedEvent). What is told already and goes on
-- keeps its beginning, and is written at most once a minute. Returns whether the dispatcher is on the list (if not, nothing is written), and those that
-- nobody had told, or that had ended, with their texts and remedies.
WITH raised AS MATERIALIZED (
    SELECT e.*, statement_timestamp() - e.began_ms * interval '1 millisecond' AS since,
           statement_timestamp() + coalesce(e.lasts_ms, -e.ended_ms) * interval '1 millisecond' AS until
      FROM jsonb_to_recordset($2::jsonb)
        AS e(id text, subject text, severity text, text text, remedy text, began_ms bigint, ended_ms bigint, lasts_ms bigint, of_dispatcher boolean)),
listed AS MATERIALIZED (SELECT FROM mailroom.dispatcher d WHERE d.id = $1::bigint FOR KEY SHARE), -- who ends it if it goes now
told AS (
    INSERT INTO mailroom.events AS e (id, subject, severity, text, remedy, since, last_seen, until, dispatcher, seen_by)
    SELECT id, subject, severity, text, remedy, since, statement_timestamp(), until, $1::bigint,
           CASE WHEN of_dispatcher AND until IS NULL THEN ARRAY[$1::bigint] ELSE '{}' END FROM raised
     WHERE EXISTS (SELECT FROM listed) ORDER BY id, subject -- the one order of locks
    ON CONFLICT (id, subject) DO UPDATE
       SET severity = excluded.severity, text = excluded.text, remedy = excluded.remedy, last_seen = excluded.last_seen,
           until = mailroom.unseen_until(e.seen_by, $1::bigint, excluded.until),
           since = CASE WHEN mailroom.goes_on(e.until, mailroom.unseen_until(e.seen_by, $1::bigint, excluded.until)) THEN e.since ELSE excluded.since END,
           times = e.times + (NOT mailroom.goes_on(e.until, mailroom.unseen_until(e.seen_by, $1::bigint, excluded.until)))::integer,
           dispatcher = excluded.dispatcher, seen_by = array_remove(e.seen_by, $1::bigint) || excluded.seen_by
     WHERE NOT mailroom.goes_on(e.until, mailroom.unseen_until(e.seen_by, $1::bigint, excluded.until))
        OR ($1::bigint = ANY (e.seen_by)) <> (excluded.seen_by <> '{}') OR e.last_seen < statement_timestamp() - interval '1 minute'
    RETURNING e.id, e.subject, e.since, e.text, e.remedy)
SELECT EXISTS (SELECT FROM listed) AS listed, news.* FROM (VALUES (1)) one
  LEFT JOIN (SELECT t.id, t.subject, t.text, t.remedy FROM told t JOIN raised r ON r.id = t.id AND r.subject = t.subject AND r.since = t.since) news ON true
