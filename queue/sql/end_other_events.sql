-- Of the kind $2 dispatcher $1 knows nothing but the subjects $3 (a JSON array): ends the rest, but for what another dispatcher on the list saw last, which
-- may know more, having another key. Returns what nobody had ended, with its text and remedy.
WITH others AS MATERIALIZED (
    SELECT e.id, e.subject FROM mailroom.events e
     WHERE e.id = $2 AND (e.until IS NULL OR e.until > statement_timestamp()) AND e.subject <> ALL (ARRAY(SELECT jsonb_array_elements_text($3::jsonb)))
       AND (e.dispatcher = $1::bigint OR NOT EXISTS (SELECT FROM mailroom.dispatcher d WHERE d.id = e.dispatcher))
     ORDER BY e.id, e.subject FOR UPDATE OF e) -- the one order of locks
UPDATE mailroom.events e SET until = statement_timestamp() FROM others WHERE e.id = others.id AND e.subject = others.subject
RETURNING e.id, e.subject, e.text, e.remedy
