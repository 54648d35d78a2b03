-- Ends messages: out of the queue, into the log; only where the lease still holds. One that somebody has locked (an ERP that cancels it in a long
-- transaction) keeps nobody waiting: it is busy, and asked for again.
-- $1 dispatcher, $2 an array of objects (queue/store: Ending). Returns the ids that ended or are busy: one that is missing had lost its lease.
WITH ended AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($2::jsonb)
      AS e(id bigint, lease_no integer, outcome text, counted integer, started_us bigint, table_row text, decision bigint, account text, from_address text, sender text,
           envelope_sender text, server text, stage text, code integer, enhanced text, reply text, results jsonb)),
locked AS MATERIALIZED (
    SELECT l.id FROM ended e CROSS JOIN LATERAL ( -- each by its id, whatever the planner thinks of the rest
        SELECT q.id FROM mailroom.queue q
         WHERE q.id = e.id AND q.lease_no = e.lease_no AND q.lease_owner = $1::bigint AND q.state = 1 FOR UPDATE SKIP LOCKED) l),
gone AS (
    DELETE FROM mailroom.queue q WHERE q.id = ANY (ARRAY(SELECT id FROM locked))
    RETURNING q.id, q.uid, q.enqueued_at, q.lane, q.source, q.addressed, q.attempts, q.doubts, q.recipients, q.generation, q.user_id, q.row_id, q.model_id,
              q.posted_by, q.user_code, q.batch),
results AS (
    INSERT INTO mailroom.recipient_result (generation, message_id, position, state, code, enhanced, reply)
    SELECT gone.generation, e.id, r.position, r.state, r.code, r.enhanced, r.reply
      FROM ended e JOIN gone USING (id),
           jsonb_to_recordset(e.results) AS r(position smallint, state smallint, code integer, enhanced text, reply text)
     WHERE e.results IS NOT NULL
    ON CONFLICT (generation, message_id, position) DO UPDATE
       SET state = excluded.state, code = excluded.code, enhanced = excluded.enhanced, reply = excluded.reply, at = clock_timestamp()),
logged AS (
INSERT INTO mailroom.log (generation, id, uid, ended_at, outcome, enqueued_at, started_at, lane, source, addressed, attempts, doubts, recipients, lease_no, user_id,
                          row_id, model_id, posted_by, user_code, batch, table_row, decision, account, from_address, sender, envelope_sender, server, stage, code, enhanced,
                          reply)
SELECT i.history_generation, g.id, g.uid, clock_timestamp(), e.outcome, g.enqueued_at, timestamptz 'epoch' + e.started_us * interval '1 microsecond', g.lane, g.source,
       g.addressed, g.attempts + e.counted, g.doubts, g.recipients, e.lease_no, g.user_id, g.row_id, g.model_id, g.posted_by, g.user_code, g.batch, e.table_row,
       e.decision, e.account, e.from_address, e.sender, e.envelope_sender, e.server, e.stage, e.code, e.enhanced, e.reply
  FROM gone g JOIN ended e USING (id) CROSS JOIN mailroom.installation i
RETURNING id)
SELECT id, false AS busy FROM logged
UNION ALL
SELECT b.id, true FROM ended e CROSS JOIN LATERAL (
    SELECT q.id FROM mailroom.queue q WHERE q.id = e.id AND q.lease_no = e.lease_no AND q.lease_owner = $1::bigint AND q.state = 1 OFFSET 0) b
 WHERE (SELECT count(*) FROM locked) < (SELECT count(*) FROM ended) AND b.id <> ALL (ARRAY(SELECT id FROM locked))
