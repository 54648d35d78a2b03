-- What people and producers see.

CREATE VIEW mailroom.depth AS
SELECT CASE WHEN q.place_id <> 0 THEN 'held'
            WHEN q.state = 1 THEN 'sending'
            WHEN q.doubts > 0 AND q.run_at > clock_timestamp() THEN 'in_doubt'
            WHEN q.run_at > clock_timestamp() AND q.attempts + q.deferrals > 0 THEN 'deferred'
            WHEN q.run_at > clock_timestamp() THEN 'scheduled'
            ELSE 'ready' END AS state,
       mailroom.lane_name(q.lane) AS lane,
       mailroom.category(q.source, q.row_id, q.model_id, q.addressed) AS category,
       p.key AS route, p.reason, p.subject, p.remedy, q.id, q.uid, q.user_code, q.batch, q.run_at, q.enqueued_at, q.attempts, q.doubts
  FROM mailroom.queue q JOIN mailroom.place p ON p.id = q.place_id;
COMMENT ON VIEW mailroom.depth IS 'Every live message with its state, where it waits and why.';

-- The state of one message, as a producer may ask for its own and an operator for any. NULL: there is no such message, or it is somebody else's.
CREATE FUNCTION mailroom.state(message_uid uuid) RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
    SELECT coalesce(
        (SELECT jsonb_build_object('uid', d.uid, 'state', d.state, 'reason', nullif(d.reason, ''), 'subject', nullif(d.subject, ''),
                                   'remedy', nullif(d.remedy, ''), 'next_attempt', CASE WHEN d.state IN ('deferred', 'in_doubt', 'scheduled') THEN d.run_at END,
                                   'possible_duplicate', d.doubts > 0, 'attempts', d.attempts, 'enqueued_at', d.enqueued_at)
           FROM depth d WHERE d.id = c.id),
        (SELECT jsonb_build_object('uid', l.uid, 'state', l.outcome, 'ended_at', l.ended_at, 'reply', nullif(l.reply, ''),
                                   'possible_duplicate', l.doubts > 0, 'attempts', l.attempts, 'enqueued_at', l.enqueued_at)
           FROM log l WHERE l.uid = c.uid))
      FROM content c
     WHERE c.uid = message_uid
       AND (c.posted_by = session_user OR pg_has_role(session_user, 'mailroom_operator', 'MEMBER') OR pg_has_role(session_user, 'mailroom_worker', 'MEMBER'))
$$;
