-- Keeps outcomes whose lease was lost in their messages' stories. A message that was accepted after all and still waits is stopped where it is:
-- it becomes in doubt, in the place $2, for an operator. $1 an array of objects (queue/store: Ending or Suspension). Returns the ids stopped.
WITH late AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($1::jsonb)
      AS e(id bigint, lease_no integer, outcome text, started_us bigint, table_row text, account text, from_address text, sender text, envelope_sender text,
           server text, stage text, code integer, enhanced text, reply text)),
unknown AS ( -- a fenced write without an answer may have worked: then the log or the story has it already
    SELECT l.* FROM late l
     WHERE NOT EXISTS (SELECT FROM mailroom.log g WHERE g.id = l.id AND g.lease_no = l.lease_no AND g.uid = (SELECT c.uid FROM mailroom.content c WHERE c.id = l.id))
       AND NOT EXISTS (SELECT FROM mailroom.story s WHERE s.message_id = l.id AND s.lease_no = l.lease_no AND s.event <> 'lease_lost')),
told AS (
    INSERT INTO mailroom.story (message_id, lease_no, event, note, started_at, table_row, account, from_address, sender, envelope_sender, server, stage, code,
                                enhanced, reply)
    SELECT id, lease_no, 'late_outcome', CASE WHEN outcome IN ('sent', 'partly_sent') THEN 'accepted under a lost lease' ELSE 'ended under a lost lease' END,
           timestamptz 'epoch' + started_us * interval '1 microsecond', table_row, account, from_address, sender, envelope_sender, server, stage, code, enhanced, reply
      FROM unknown)
UPDATE mailroom.queue q SET place_id = $2::integer, run_at = clock_timestamp(), doubts = greatest(q.doubts, 1)
  FROM unknown u WHERE q.id = u.id AND q.state = 0 AND u.outcome IN ('sent', 'partly_sent')
RETURNING q.id
