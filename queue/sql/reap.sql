-- Takes up to $2 messages from dead dispatchers. What one may have committed is unknown, so it becomes in doubt; what it had not begun, as its journal or
-- its marks in the queue say, goes back untried. Where neither is at hand, all that it had is in doubt.
-- A first doubt is resent after the milliseconds that its mark says, else $3 (an object by category), where these are no null and not negative; every other
-- waits in the place $4 for an operator; what lost its dispatcher for the third time waits in the place $5. One that lost it twice is a suspect: claimed
-- alone. To blame for a death is what the dispatcher worked on, where that is known, and of that the suspects, where there are any.
-- Dead is whose journal was found without it, and whose lease is over. The latter nobody judges ($1) before it has itself beaten for one whole lease without
-- interruption, nor within one lease after the server's start, nor after its own heartbeat is over: an outage of the database is not the death of all others.
WITH reaper AS MATERIALIZED (
    SELECT FROM mailroom.dispatcher d
     WHERE d.id = $1::bigint AND d.beat_at + d.lease > clock_timestamp() AND d.beating_since + d.lease <= clock_timestamp() AND pg_postmaster_start_time() + d.lease <= clock_timestamp()),
dead AS MATERIALIZED (
    SELECT d.id, d.host, d.marks FROM mailroom.dispatcher d
     WHERE d.is_dead OR d.beat_at + d.lease < clock_timestamp() AND EXISTS (SELECT FROM reaper) FOR UPDATE SKIP LOCKED),
had AS MATERIALIZED ( -- the queue is read only if somebody is dead
    SELECT q.id, q.lease_owner, q.crashes >= 2 AS is_suspect,
           d.marks = 'none' OR q.begun_no IS NOT DISTINCT FROM q.lease_no AS is_doubtful,
           d.marks = 'carried' AND q.lease_no IN (q.carried_no, q.begun_no) IS TRUE AS was_worked_on
      FROM mailroom.queue q JOIN dead d ON d.id = q.lease_owner
     WHERE EXISTS (SELECT FROM dead) AND q.state = 1 AND q.lease_owner IN (SELECT id FROM dead)),
considered AS MATERIALIZED (
    SELECT h.*, h.was_worked_on OR NOT bool_or(h.was_worked_on) OVER (PARTITION BY h.lease_owner) AS may_be_to_blame FROM had h),
judged AS MATERIALIZED (
    SELECT c.*, c.may_be_to_blame AND (c.is_suspect OR NOT bool_or(c.is_suspect AND c.may_be_to_blame) OVER (PARTITION BY c.lease_owner)) AS is_to_blame FROM considered c),
picked AS MATERIALIZED ( -- who is to blame comes last: as long as one of these is left, the others are known not to be
    SELECT q.id, j.is_to_blame::integer AS blame, j.is_doubtful,
           CASE WHEN q.begun_no = q.lease_no AND q.doubt_ms IS NOT NULL THEN nullif(q.doubt_ms, -1)
                ELSE ($3::jsonb ->> mailroom.category(q.source, q.row_id, q.model_id, q.addressed))::bigint END AS resend_ms
      FROM judged j JOIN mailroom.queue q ON q.id = j.id
     WHERE q.state = 1 AND q.lease_owner = j.lease_owner ORDER BY j.is_to_blame, j.id LIMIT $2::integer FOR UPDATE OF q SKIP LOCKED),
moved AS (
    UPDATE mailroom.queue q
       SET state = 0, lease_owner = NULL, doubts = q.doubts + p.is_doubtful::integer, crashes = least(q.crashes + p.blame, 32000),
           put_off_since = CASE WHEN NOT p.is_doubtful THEN q.put_off_since END,
           dated_at = CASE WHEN p.is_doubtful OR q.doubts > 0 OR q.pinned IS NOT NULL THEN q.dated_at END, -- none could have delivered: a new Date
           place_id = CASE WHEN q.cancelled THEN 2
                           WHEN q.crashes + p.blame >= 3 AND p.blame = 1 THEN $5::integer
                           WHEN p.is_doubtful AND (q.doubts > 0 OR p.resend_ms IS NULL) THEN $4::integer
                           WHEN q.crashes + p.blame >= 2 THEN 1 ELSE 0 END,
           run_at = CASE WHEN NOT p.is_doubtful THEN q.run_at -- in its old order; a claim looks whether its batch is held
                         WHEN q.doubts = 0 AND NOT (q.crashes + p.blame >= 3 AND p.blame = 1) THEN clock_timestamp() + coalesce(p.resend_ms, 0) * interval '1 millisecond'
                         ELSE clock_timestamp() END -- a release looks at it
      FROM picked p WHERE q.id = p.id
    RETURNING q.id, q.uid, q.posted_by, q.lease_no, q.place_id, p.is_doubtful, p.blame, q.source, q.row_id, q.model_id, q.addressed, q.user_code, q.recipients),
told AS (
    INSERT INTO mailroom.story (generation, message_id, uid, posted_by, lease_no, event, note)
    SELECT i.history_generation, m.id, m.uid, m.posted_by, m.lease_no, CASE WHEN m.place_id = $5::integer THEN 'quarantined' WHEN m.is_doubtful THEN 'lease_lost' ELSE 'dispatcher_died' END,
           'the dispatcher died or was cut off; ' || CASE WHEN m.place_id = $5::integer THEN 'for the third time: quarantined for an operator'
                WHEN m.place_id = 2 THEN 'cancelled meanwhile: not sent again'
                WHEN NOT m.is_doubtful THEN 'nothing of this message had gone out: sent again' || CASE WHEN m.place_id = 1 THEN ', alone' ELSE '' END
                WHEN m.place_id IN (0, 1) THEN 'resent once, as a possible duplicate'
                ELSE 'held for an operator' END
      FROM moved m CROSS JOIN mailroom.installation i WHERE m.is_doubtful OR m.blame = 1
    RETURNING uid, event, note),
buried AS (
    DELETE FROM mailroom.dispatcher d USING dead WHERE d.id = dead.id
       AND NOT EXISTS (SELECT FROM mailroom.queue q WHERE q.state = 1 AND q.lease_owner = d.id))
SELECT count(*), count(*) FILTER (WHERE place_id > 2),
       (SELECT string_agg(format('dispatcher %s on %s', d.id, d.host), ', ' ORDER BY d.id) FROM dead d WHERE d.id IN (SELECT lease_owner FROM had)),
       (SELECT coalesce(jsonb_agg(jsonb_build_object('uid', uid, 'event', event, 'note', note)), '[]')::text FROM told), count(*) FILTER (WHERE NOT is_doubtful) FROM moved
