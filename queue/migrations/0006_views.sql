-- What people and producers see.

CREATE VIEW mailroom.depth AS
SELECT CASE WHEN p.kind = 'hold' THEN 'held'
            WHEN q.state = 1 THEN 'sending'
            WHEN p.kind = 'cancelled' THEN 'cancelled'
            WHEN q.doubts > 0 AND q.run_at > clock_timestamp() THEN 'in_doubt'
            WHEN q.run_at > clock_timestamp() AND q.attempts + q.deferrals > 0 THEN 'deferred'
            WHEN q.run_at > clock_timestamp() THEN 'scheduled'
            WHEN p.blocked_until > clock_timestamp() THEN 'deferred'
            ELSE 'ready' END AS state,
       mailroom.lane_name(q.lane) AS lane,
       mailroom.category(q.source, q.row_id, q.model_id, q.addressed) AS category,
       p.key AS route,
       CASE WHEN p.kind = 'hold' THEN p.reason WHEN q.state = 1 THEN ''
            WHEN p.blocked_until > clock_timestamp() THEN 'account_blocked' WHEN p.kind = 'route' AND q.run_at <= clock_timestamp() THEN 'account_busy'
            WHEN p.kind = 'suspects' THEN 'suspect' ELSE '' END AS reason,
       p.subject,
       CASE WHEN p.kind = 'hold' THEN p.remedy WHEN q.state = 1 THEN ''
            WHEN p.blocked_until > clock_timestamp() THEN p.blocked_why
            WHEN p.kind = 'route' AND q.run_at <= clock_timestamp() THEN 'nothing: it goes when a connection of the account is free'
            WHEN p.kind = 'suspects' THEN 'nothing: its dispatchers died twice, so it is sent alone' ELSE '' END AS remedy,
       q.id, q.uid, q.posted_by, q.user_code, q.batch, greatest(q.run_at, CASE WHEN p.kind = 'route' THEN p.blocked_until END) AS run_at, q.enqueued_at, q.attempts, q.doubts,
       q.recipients, q.row_id, q.model_id, p.self_releasing
  FROM mailroom.queue q JOIN mailroom.place p ON p.id = q.place_id;
COMMENT ON VIEW mailroom.depth IS 'Every live message with its state, where it waits and why.';

-- The state of one message, as a producer may ask for its own and an operator for any. NULL: there is no such message, or it is somebody else's.
CREATE FUNCTION mailroom.state(message_uid uuid) RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
    SELECT told.state FROM (
        SELECT d.posted_by, jsonb_build_object('uid', d.uid, 'state', d.state, 'reason', nullif(d.reason, ''), 'subject', nullif(d.subject, ''),
                                   'remedy', nullif(d.remedy, ''), 'next_attempt', CASE WHEN d.state IN ('deferred', 'in_doubt', 'scheduled') THEN d.run_at END,
                                   'possible_duplicate', d.doubts > 0, 'attempts', d.attempts, 'enqueued_at', d.enqueued_at) AS state
          FROM content c CROSS JOIN LATERAL (SELECT * FROM depth x WHERE x.id = c.id OFFSET 0) d WHERE c.uid = message_uid -- by its key, never by all of the queue
        UNION ALL
        SELECT l.posted_by, jsonb_build_object('uid', l.uid, 'state', l.outcome, 'ended_at', l.ended_at, 'reply', nullif(l.reply, ''),
                                   'possible_duplicate', l.doubts > 0, 'attempts', l.attempts, 'enqueued_at', l.enqueued_at)
          FROM log l WHERE l.uid = message_uid) told
     WHERE told.posted_by = session_user OR pg_has_role(session_user, 'mailroom_operator', 'MEMBER') OR pg_has_role(session_user, 'mailroom_worker', 'MEMBER')
     LIMIT 1
$$;
