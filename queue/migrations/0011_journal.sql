-- What is known of messages whose dispatcher died: its journal tells it, or marks in the queue itself (docs/decisions/journal.md).

ALTER TABLE mailroom.installation
    ADD COLUMN identity uuid NOT NULL DEFAULT gen_random_uuid(); -- of this database: a journal is of one

ALTER TABLE mailroom.dispatcher
    ADD COLUMN token   uuid NOT NULL DEFAULT gen_random_uuid(), -- of this enrolment: after a restore its id may be given a second time
    ADD COLUMN marks   text NOT NULL DEFAULT 'none' CHECK (marks IN ('none', 'begun', 'carried')), -- which of its messages are marked in the queue, should it die
    ADD COLUMN is_dead boolean NOT NULL DEFAULT false; -- for certain: its journal was found without it

-- Marks hold for the lease that they name. No index has them, so that they cost no more than a claim does.
ALTER TABLE mailroom.queue
    ADD COLUMN carried_no integer, -- its dispatcher had begun to work on it
    ADD COLUMN begun_no   integer, -- octets that commit it may have gone out
    ADD COLUMN doubt_ms   bigint;  -- then, if nobody learns what became of it: after how long it is resent; -1: an operator decides

-- An operator has learned what became of messages in doubt. `outcome` of the arguments: sent (they end as that, partly sent where a recipient was refused)
-- or not_sent (they go again, and are no possible duplicates any more).
CREATE FUNCTION mailroom.settle_messages(filter jsonb, arguments jsonb DEFAULT '{}', after bigint DEFAULT 0, max_rows integer DEFAULT 1000) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    step record;
    words constant text := 'says ' || session_user || coalesce(': ' || nullif(btrim(arguments ->> 'note'), ''), '');
BEGIN
    step := take_selected('settle', filter, arguments, after, max_rows);
    IF arguments ->> 'outcome' = 'sent' THEN
        PERFORM tell_story(step.taken, 'settled', 'was sent, says ' || session_user || ': settled', arguments);
        WITH gone AS (DELETE FROM queue q WHERE q.id = ANY (step.taken) RETURNING q.*)
        INSERT INTO log (generation, id, uid, ended_at, outcome, enqueued_at, started_at, lane, source, addressed, attempts, doubts, recipients, lease_no, user_id, row_id,
                         model_id, posted_by, user_code, batch, table_row, account, from_address, sender, envelope_sender, server, stage, reply)
        SELECT i.history_generation, g.id, g.uid, clock_timestamp(),
               CASE WHEN EXISTS (SELECT FROM recipient_result r WHERE r.generation = g.generation AND r.message_id = g.id AND r.state = 2) THEN 'partly_sent' ELSE 'sent' END,
               g.enqueued_at, s.started_at, g.lane, g.source, g.addressed, g.attempts, g.doubts, g.recipients, g.lease_no, g.user_id, g.row_id, g.model_id, g.posted_by,
               g.user_code, g.batch, s.table_row, s.account, s.from_address, s.sender, s.envelope_sender, s.server, s.stage, 'in doubt, and sent: ' || words
          FROM gone g CROSS JOIN installation i LEFT JOIN LATERAL ( -- the attempt that was in doubt
              SELECT s.* FROM story s WHERE s.message_id = g.id AND s.uid = g.uid AND s.server IS NOT NULL ORDER BY s.at DESC LIMIT 1) s ON true
         ORDER BY g.id;
        RETURN step_done(step.taken, step.left_alone, step.last, false);
    END IF;
    PERFORM tell_story(step.taken, 'settled', 'was not sent, says ' || session_user || ': goes again', arguments);
    UPDATE recipient_result r SET state = 0, at = clock_timestamp()
      FROM queue q WHERE q.id = ANY (step.taken) AND r.generation = q.generation AND r.message_id = q.id AND r.state = 3;
    UPDATE queue q SET place_id = CASE WHEN q.crashes >= 2 THEN 1 ELSE 0 END, run_at = greatest(statement_timestamp(), q.not_before), doubts = 0,
           pinned = CASE WHEN served.some THEN q.pinned END, dated_at = CASE WHEN served.some THEN q.dated_at END
      FROM queue x CROSS JOIN LATERAL (
          SELECT EXISTS (SELECT FROM recipient_result r WHERE r.generation = x.generation AND r.message_id = x.id AND r.state = 1) AS some) served
     WHERE x.id = q.id AND q.id = ANY (step.taken);
    RETURN step_done(step.taken, step.left_alone, step.last, true);
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA mailroom FROM PUBLIC;
GRANT SELECT ON SEQUENCE mailroom.dispatcher_id_seq, mailroom.queue_id_seq TO mailroom_worker; -- an older backup has had fewer than a journal knows
GRANT EXECUTE ON FUNCTION mailroom.settle_messages(jsonb, jsonb, bigint, integer) TO mailroom_operator;
