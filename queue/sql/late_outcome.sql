-- Keeps outcomes whose lease was lost in their messages' stories. A message that was accepted after all and still waits is stopped where it is:
-- it becomes in doubt, in the place $2, for an operator; what was cancelled meanwhile ends as that.
-- $1 an array of objects (queue/store: Ending or Suspension; a uid, where there is one, must be the message's). Returns the ids stopped.
WITH late AS MATERIALIZED (
    SELECT e.id, e.uid, e.lease_no, coalesce(e.outcome, e.event) AS outcome, e.started_us, e.table_row, e.decision, e.account, e.from_address, e.sender, e.envelope_sender, e.server,
           e.stage, e.code, e.enhanced, e.reply FROM jsonb_to_recordset($1::jsonb)
      AS e(id bigint, uid uuid, lease_no integer, outcome text, event text, started_us bigint, table_row text, decision bigint, account text, from_address text, sender text, envelope_sender text,
           server text, stage text, code integer, enhanced text, reply text)),
known AS MATERIALIZED ( -- live or not, its content tells whose it is
    SELECT l.id, c.uid, l.lease_no, l.outcome, l.started_us, l.table_row, l.decision, l.account, l.from_address, l.sender, l.envelope_sender, l.server, l.stage, l.code, l.enhanced,
           l.reply, (SELECT q.posted_by FROM mailroom.queue q WHERE q.id = l.id) AS posted_by
      FROM late l LEFT JOIN LATERAL ( -- a look-up in each generation: without one, every index of content is walked from end to end
          SELECT c.uid FROM generate_series(0, 15) g CROSS JOIN LATERAL (
              SELECT c.uid FROM mailroom.content c WHERE c.generation = g::smallint AND c.id = l.id LIMIT 1) c LIMIT 1) c ON true
     WHERE l.uid IS NULL OR l.uid = c.uid), -- an id may be given a second time after a restore
unknown AS ( -- a fenced write without an answer may have worked: then the log or the story has it already;
            -- other lines of the same lease are no outcome of it: taken away, released, held by an operator
    SELECT k.* FROM known k
     WHERE NOT EXISTS (SELECT FROM mailroom.log g WHERE g.uid = k.uid AND g.lease_no = k.lease_no)
       AND NOT EXISTS (SELECT FROM mailroom.story s WHERE s.message_id = k.id AND s.lease_no = k.lease_no AND s.event IN (k.outcome, 'late_outcome'))),
told AS (
    INSERT INTO mailroom.story (generation, message_id, uid, posted_by, lease_no, event, note, started_at, table_row, decision, account, from_address, sender,
                                envelope_sender, server, stage, code, enhanced, reply)
    SELECT i.history_generation, u.id, u.uid, coalesce(u.posted_by, (SELECT g.posted_by FROM mailroom.log g WHERE g.uid = u.uid LIMIT 1), ''), u.lease_no, 'late_outcome',
           CASE WHEN u.outcome IN ('sent', 'partly_sent') THEN 'accepted under a lost lease' ELSE 'ended under a lost lease' END,
           timestamptz 'epoch' + u.started_us * interval '1 microsecond', u.table_row, u.decision, u.account, u.from_address, u.sender, u.envelope_sender, u.server, u.stage, u.code,
           u.enhanced, u.reply
      FROM unknown u CROSS JOIN mailroom.installation i WHERE u.uid IS NOT NULL)
UPDATE mailroom.queue q SET place_id = $2::integer, run_at = clock_timestamp(), put_off_since = NULL, doubts = greatest(q.doubts, 1)
  FROM unknown u WHERE q.id = u.id AND q.state = 0 AND NOT q.cancelled AND u.outcome IN ('sent', 'partly_sent')
RETURNING q.id
