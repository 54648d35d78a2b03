-- Puts messages back: deferred, held, in doubt, or returned by a stop; only where the lease still holds. A hold that was decided under another
-- version of the settings is sorted again instead: the row lock lets no change of a setting pass between the look and the move.
-- $1 dispatcher, $2 settings version, $3 an array of objects (queue/store: Suspension). Returns the ids that moved.
WITH put AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($3::jsonb)
      AS e(id bigint, lease_no integer, event text, place_id integer, delay_ms bigint, counted integer, doubtful integer, pinned jsonb, note text,
           started_us bigint, table_row text, account text, from_address text, sender text, envelope_sender text, server text, stage text,
           code integer, enhanced text, reply text, results jsonb)),
settings AS MATERIALIZED (
    SELECT settings_version FROM mailroom.installation WHERE EXISTS (SELECT FROM put WHERE event = 'held') FOR SHARE),
moved AS (
    UPDATE mailroom.queue q
       SET state = 0, lease_owner = NULL,
           place_id = CASE WHEN p.event = 'held' AND s.settings_version <> $2::bigint THEN 0 ELSE p.place_id END,
           run_at = statement_timestamp() + p.delay_ms * interval '1 millisecond',
           attempts = q.attempts + p.counted,
           deferrals = least(q.deferrals + (p.event = 'deferred' AND p.counted = 0)::integer, 32000),
           doubts = q.doubts + p.doubtful,
           pinned = coalesce(p.pinned, q.pinned),
           has_results = q.has_results OR p.results IS NOT NULL,
           dated_at = CASE WHEN q.doubts + p.doubtful > 0 OR coalesce(p.pinned, q.pinned) IS NOT NULL THEN q.dated_at END -- none could have delivered: a new Date
      FROM put p LEFT JOIN settings s ON true
     WHERE q.id = p.id AND q.lease_no = p.lease_no AND q.lease_owner = $1::bigint AND q.state = 1
    RETURNING q.id),
results AS (
    INSERT INTO mailroom.recipient_result (message_id, position, state, code, enhanced, reply)
    SELECT p.id, r.position, r.state, r.code, r.enhanced, r.reply
      FROM put p JOIN moved USING (id),
           jsonb_to_recordset(p.results) AS r(position smallint, state smallint, code integer, enhanced text, reply text)
     WHERE p.results IS NOT NULL
    ON CONFLICT (message_id, position) DO UPDATE
       SET state = excluded.state, code = excluded.code, enhanced = excluded.enhanced, reply = excluded.reply, at = clock_timestamp()),
told AS (
    INSERT INTO mailroom.story (message_id, lease_no, event, note, started_at, table_row, account, from_address, sender, envelope_sender, server, stage, code,
                                enhanced, reply)
    SELECT p.id, p.lease_no, p.event, p.note, timestamptz 'epoch' + p.started_us * interval '1 microsecond', p.table_row, p.account, p.from_address, p.sender, p.envelope_sender, p.server, p.stage, p.code,
           p.enhanced, p.reply
      FROM put p JOIN moved USING (id) WHERE p.event <> 'returned')
SELECT id FROM moved
