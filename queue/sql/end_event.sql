-- Ends what dispatcher $1 told operators: $2 is an array of objects (queue/event_store: EndedEvent). What others still see stays open. Returns what
-- nobody had ended, with its text and remedy.
WITH ended AS MATERIALIZED (
    SELECT e.id, e.subject, statement_timestamp() - ended.ended_ms * interval '1 millisecond' AS until
      FROM jsonb_to_recordset($2::jsonb) AS ended(id text, subject text, ended_ms bigint) JOIN mailroom.events e ON e.id = ended.id AND e.subject = ended.subject
     WHERE e.until IS NULL OR e.until > statement_timestamp()
     ORDER BY e.id, e.subject FOR UPDATE OF e), -- the one order of locks
told AS (
    UPDATE mailroom.events e SET until = mailroom.unseen_until(e.seen_by, $1::bigint, ended.until), seen_by = array_remove(e.seen_by, $1::bigint)
      FROM ended WHERE e.id = ended.id AND e.subject = ended.subject
    RETURNING e.id, e.subject, e.text, e.remedy, e.until)
SELECT id, subject, text, remedy FROM told WHERE until IS NOT NULL ORDER BY id, subject
