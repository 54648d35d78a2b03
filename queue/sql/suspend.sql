-- Puts messages back: deferred, held, in doubt, parked at their route, or returned by a stop; only where the lease still holds. A hold or a
-- park that was decided under another version of the settings is sorted again instead: the row lock lets no change of a setting, and so no release,
-- pass between the look and the move; while one is being changed, nobody waits for it: the message is sorted again in a second. What was cancelled meanwhile is not tried again, and what is of a held batch waits with it, unless it has a hold of its own.
-- $1 dispatcher, $2 settings version, $3 an array of objects (queue/store: Suspension). Returns the ids that moved, and those that somebody has locked: these are
-- busy, and asked for again.
WITH put AS MATERIALIZED (
    SELECT *, place_id = 0 OR event IN ('parked', 'deferred') AS to_go FROM jsonb_to_recordset($3::jsonb)
      AS e(id bigint, lease_no integer, event text, place_id integer, delay_ms bigint, counted integer, doubtful integer, pinned jsonb, note text,
           started_us bigint, table_row text, decision bigint, account text, from_address text, sender text, envelope_sender text, server text, stage text,
           code integer, enhanced text, reply text, results jsonb)),
settings AS MATERIALIZED (
    SELECT settings_version FROM mailroom.installation WHERE EXISTS (SELECT FROM put WHERE event IN ('held', 'parked')) FOR SHARE SKIP LOCKED),
locked AS MATERIALIZED (
    SELECT l.id FROM put p CROSS JOIN LATERAL ( -- each by its id, whatever the planner thinks of the rest
        SELECT q.id FROM mailroom.queue q
         WHERE q.id = p.id AND q.lease_no = p.lease_no AND q.lease_owner = $1::bigint AND q.state = 1 FOR UPDATE SKIP LOCKED) l),
moved AS (
    UPDATE mailroom.queue q
       SET state = 0, lease_owner = NULL,
           place_id = CASE WHEN q.cancelled THEN 2
                           WHEN p.to_go AND EXISTS (SELECT FROM mailroom.held_batch h WHERE h.batch = q.batch)
                               THEN (SELECT h.place_id FROM mailroom.held_batch h WHERE h.batch = q.batch)
                           WHEN q.crashes >= 2 AND p.to_go THEN 1
                           WHEN p.event IN ('held', 'parked') AND s.settings_version IS DISTINCT FROM $2::bigint THEN 0 ELSE p.place_id END,
           run_at = CASE WHEN p.event IN ('held', 'parked') AND s.settings_version IS NULL THEN statement_timestamp() + interval '1 second'
                         WHEN p.event = 'parked' THEN q.run_at
                         WHEN p.to_go AND EXISTS (SELECT FROM mailroom.held_batch h WHERE h.batch = q.batch) THEN statement_timestamp() -- a release looks at it
                         ELSE statement_timestamp() + p.delay_ms * interval '1 millisecond' END,
           attempts = q.attempts + p.counted,
           deferrals = least(q.deferrals + (p.event = 'deferred' AND p.counted = 0)::integer, 32000),
           doubts = q.doubts + p.doubtful,
           put_off_since = CASE WHEN p.event = 'in_doubt' OR p.event = 'held' AND s.settings_version = $2::bigint OR p.to_go AND EXISTS (SELECT FROM mailroom.held_batch h WHERE h.batch = q.batch) THEN NULL
                                WHEN p.event IN ('deferred', 'parked') THEN coalesce(q.put_off_since, statement_timestamp()) ELSE q.put_off_since END,
           pinned = coalesce(p.pinned, q.pinned),
           has_results = q.has_results OR p.results IS NOT NULL,
           dated_at = CASE WHEN q.doubts + p.doubtful > 0 OR coalesce(p.pinned, q.pinned) IS NOT NULL THEN q.dated_at END -- none could have delivered: a new Date
      FROM put p LEFT JOIN settings s ON true
     WHERE q.id = p.id AND q.id = ANY (ARRAY(SELECT id FROM locked))
    RETURNING q.id, q.uid, q.posted_by, q.generation, q.place_id,
              p.to_go AND q.batch IS NOT NULL AND EXISTS (SELECT FROM mailroom.held_batch h WHERE h.place_id = q.place_id) AS is_held),
marked AS (
    UPDATE mailroom.place p SET parked_at = clock_timestamp()
     WHERE p.id = ANY (ARRAY( -- locked in one order, so that two who park never wait for each other
         SELECT r.id FROM mailroom.place r
          WHERE r.id IN (SELECT place_id FROM moved) AND r.kind = 'route'
            AND (r.parked_at IS NULL OR r.parked_at < clock_timestamp() - interval '10 seconds' OR r.limited AND r.dispatcher <> $1::bigint)
          ORDER BY r.id FOR NO KEY UPDATE))
    RETURNING CASE WHEN p.limited AND p.dispatcher <> $1::bigint THEN pg_notify('mailroom_wake', p.id::text) END), -- its owner sends by it
results AS (
    INSERT INTO mailroom.recipient_result (generation, message_id, position, state, code, enhanced, reply)
    SELECT moved.generation, p.id, r.position, r.state, r.code, r.enhanced, r.reply
      FROM put p JOIN moved USING (id),
           jsonb_to_recordset(p.results) AS r(position smallint, state smallint, code integer, enhanced text, reply text)
     WHERE p.results IS NOT NULL
    ON CONFLICT (generation, message_id, position) DO UPDATE
       SET state = excluded.state, code = excluded.code, enhanced = excluded.enhanced, reply = excluded.reply, at = clock_timestamp()),
told AS (
    INSERT INTO mailroom.story (generation, message_id, uid, posted_by, lease_no, event, note, started_at, table_row, decision, account, from_address, sender,
                                envelope_sender, server, stage, code, enhanced, reply)
    SELECT i.history_generation, p.id, moved.uid, moved.posted_by, p.lease_no, CASE WHEN moved.is_held THEN 'held' ELSE p.event END,
           coalesce(CASE WHEN moved.is_held THEN 'its batch is held' END, p.note), timestamptz 'epoch' + p.started_us * interval '1 microsecond',
           p.table_row, p.decision, p.account, p.from_address, p.sender, p.envelope_sender, p.server, p.stage, p.code, p.enhanced, p.reply
      FROM put p JOIN moved USING (id) CROSS JOIN mailroom.installation i WHERE moved.is_held OR p.event NOT IN ('returned', 'parked'))
SELECT id, false AS busy FROM moved
UNION ALL
SELECT b.id, true FROM put p CROSS JOIN LATERAL (
    SELECT q.id FROM mailroom.queue q WHERE q.id = p.id AND q.lease_no = p.lease_no AND q.lease_owner = $1::bigint AND q.state = 1 OFFSET 0) b
 WHERE (SELECT count(*) FROM locked) < (SELECT count(*) FROM put) AND b.id <> ALL (ARRAY(SELECT id FROM locked))
