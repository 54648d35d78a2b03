-- After a restore from a backup: $1 what journals say of messages since, an array of objects: uid, verdict (ended, in_doubt, unsent), newest lease_no and, as the dispatchers wrote
-- it, what became of it. $2 whether these journals are all there were: else what they do not name may have been sent too. $3 the place where an operator finds what
-- is in doubt. $4 the newest dispatcher, $5 the newest message that the journals know: the database is not to give these numbers again.
-- Returns how many ended, are in doubt, and go on; and the uids that the journals know as sent and the database does not know at all.
WITH told AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($1::jsonb)
      AS e(uid uuid, verdict text, lease_no integer, outcome text, counted integer, started_us bigint, table_row text, decision bigint, account text, from_address text, sender text, envelope_sender text,
           server text, stage text, code integer, enhanced text, reply text, results jsonb)),
live AS MATERIALIZED (
    SELECT q.id, q.uid, t.verdict, t.lease_no, CASE WHEN t.verdict = 'ended' THEN 'ended' WHEN t.verdict = 'in_doubt' OR NOT $2::boolean THEN 'in_doubt' ELSE 'goes_on' END AS becomes
      FROM mailroom.queue q LEFT JOIN told t ON t.uid = q.uid),
forgotten AS (DELETE FROM mailroom.dispatcher),
gone AS (
    DELETE FROM mailroom.queue q USING live l WHERE l.id = q.id AND l.becomes = 'ended' RETURNING q.*),
results AS (
    INSERT INTO mailroom.recipient_result (generation, message_id, position, state, code, enhanced, reply)
    SELECT c.generation, c.id, r.position, r.state, r.code, r.enhanced, r.reply
      FROM told t JOIN live l ON l.uid = t.uid JOIN mailroom.content c ON c.uid = t.uid AND c.id = l.id,
           jsonb_to_recordset(t.results) AS r(position smallint, state smallint, code integer, enhanced text, reply text)
     WHERE t.results IS NOT NULL
    ON CONFLICT (generation, message_id, position) DO UPDATE
       SET state = excluded.state, code = excluded.code, enhanced = excluded.enhanced, reply = excluded.reply, at = clock_timestamp()),
logged AS (
    INSERT INTO mailroom.log (generation, id, uid, ended_at, outcome, enqueued_at, started_at, lane, source, addressed, attempts, doubts, recipients, lease_no, user_id,
                              row_id, model_id, posted_by, user_code, batch, table_row, decision, account, from_address, sender, envelope_sender, server, stage, code, enhanced, reply)
    SELECT i.history_generation, g.id, g.uid, clock_timestamp(), t.outcome, g.enqueued_at, timestamptz 'epoch' + t.started_us * interval '1 microsecond', g.lane, g.source,
           g.addressed, g.attempts + coalesce(t.counted, 0), g.doubts, g.recipients, g.lease_no, g.user_id, g.row_id, g.model_id, g.posted_by, g.user_code, g.batch,
           t.table_row, t.decision, t.account, t.from_address, t.sender, t.envelope_sender, t.server, t.stage, t.code, t.enhanced, t.reply
      FROM gone g JOIN told t USING (uid) CROSS JOIN mailroom.installation i),
moved AS (
    UPDATE mailroom.queue q
       SET state = 0, lease_owner = NULL, lease_no = greatest(q.lease_no, l.lease_no) + 1,
           place_id = CASE WHEN q.cancelled THEN 2 WHEN l.becomes = 'in_doubt' THEN $3::integer WHEN q.state = 1 THEN 0 ELSE q.place_id END,
           doubts = q.doubts + (l.becomes = 'in_doubt')::integer, put_off_since = CASE WHEN l.becomes = 'goes_on' THEN q.put_off_since END,
           has_results = q.has_results OR EXISTS (SELECT FROM told t WHERE t.uid = q.uid AND t.results IS NOT NULL),
           run_at = CASE WHEN l.becomes = 'in_doubt' THEN clock_timestamp() ELSE q.run_at END
      FROM live l WHERE l.id = q.id AND l.becomes <> 'ended'
    RETURNING q.id, q.uid, q.posted_by, q.lease_no, l.becomes, l.verdict),
story AS (
    INSERT INTO mailroom.story (generation, message_id, uid, posted_by, lease_no, event, note)
    SELECT i.history_generation, c.id, c.uid, c.posted_by, c.lease_no, 'recovered', 'the database was restored from a backup; ' ||
           CASE WHEN c.becomes = 'ended' THEN 'the journal knows what became of this since'
                WHEN c.verdict = 'in_doubt' THEN 'the journal knows that it may have been sent since: held for an operator'
                ELSE 'no journal tells whether it was sent since: held for an operator' END
      FROM (SELECT g.id, g.uid, g.posted_by, g.lease_no, 'ended' AS becomes, 'ended' AS verdict FROM gone g UNION ALL TABLE moved) c CROSS JOIN mailroom.installation i
     WHERE c.becomes <> 'goes_on'),
numbers AS (
    SELECT setval('mailroom.dispatcher_id_seq', greatest(d.last_value, $4::bigint)), setval('mailroom.queue_id_seq', greatest(m.last_value, $5::bigint))
      FROM mailroom.dispatcher_id_seq d CROSS JOIN mailroom.queue_id_seq m)
SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM moved WHERE becomes = 'in_doubt'), (SELECT count(*) FROM moved WHERE becomes = 'goes_on'),
       (SELECT coalesce(jsonb_agg(t.uid), '[]')::text FROM told t
         WHERE t.verdict = 'ended' AND t.outcome IN ('sent', 'partly_sent') AND NOT EXISTS (SELECT FROM mailroom.content c WHERE c.uid = t.uid)),
       (SELECT count(*) FROM numbers)
