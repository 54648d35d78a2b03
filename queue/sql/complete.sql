-- Ends messages: out of the queue, into the log; only where the lease still holds.
-- $1 dispatcher, $2 an array of objects (queue/store: Ending). Returns the ids that ended: one that is missing had lost its lease.
WITH ended AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($2::jsonb)
      AS e(id bigint, lease_no integer, outcome text, counted integer, started_us bigint, table_row text, account text, from_address text, sender text,
           envelope_sender text, server text, stage text, code integer, enhanced text, reply text, results jsonb)),
gone AS (
    DELETE FROM mailroom.queue q USING ended e
     WHERE q.id = e.id AND q.lease_no = e.lease_no AND q.lease_owner = $1::bigint AND q.state = 1
    RETURNING q.id, q.uid, q.enqueued_at, q.lane, q.source, q.addressed, q.attempts, q.doubts, q.user_id, q.row_id, q.model_id, q.user_code, q.batch),
results AS (
    INSERT INTO mailroom.recipient_result (message_id, position, state, code, enhanced, reply)
    SELECT e.id, r.position, r.state, r.code, r.enhanced, r.reply
      FROM ended e JOIN gone USING (id),
           jsonb_to_recordset(e.results) AS r(position smallint, state smallint, code integer, enhanced text, reply text)
     WHERE e.results IS NOT NULL
    ON CONFLICT (message_id, position) DO UPDATE
       SET state = excluded.state, code = excluded.code, enhanced = excluded.enhanced, reply = excluded.reply, at = clock_timestamp())
INSERT INTO mailroom.log (id, uid, ended_at, outcome, enqueued_at, started_at, lane, source, addressed, attempts, doubts, lease_no, user_id, row_id, model_id,
                          user_code, batch, table_row, account, from_address, sender, envelope_sender, server, stage, code, enhanced, reply)
SELECT g.id, g.uid, clock_timestamp(), e.outcome, g.enqueued_at, timestamptz 'epoch' + e.started_us * interval '1 microsecond', g.lane, g.source, g.addressed, g.attempts + e.counted, g.doubts, e.lease_no,
       g.user_id, g.row_id, g.model_id, g.user_code, g.batch, e.table_row, e.account, e.from_address, e.sender, e.envelope_sender, e.server, e.stage, e.code,
       e.enhanced, e.reply
  FROM gone g JOIN ended e USING (id)
RETURNING id
