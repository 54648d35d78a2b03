-- Takes up to $2 messages from dispatchers whose lease is over: what they did with them is unknown, so each becomes in doubt.
-- The first doubt is resent after $3 milliseconds where that is not NULL; every other waits in the place $4 for an operator; what lost its
-- dispatcher for the third time waits in the place $5. One that lost it twice is a suspect: claimed alone, and if its dispatcher dies again,
-- it is to blame, and nothing else that the dispatcher had.
-- Nobody reaps ($1) before it has itself beaten for one whole lease without interruption, nor within one lease after the server's start, nor after
-- its own heartbeat is over: an outage of the database is not the death of all others.
WITH reaper AS MATERIALIZED (
    SELECT FROM mailroom.dispatcher d
     WHERE d.id = $1::bigint AND d.beat_at + d.lease > clock_timestamp() AND d.beating_since + d.lease <= clock_timestamp() AND pg_postmaster_start_time() + d.lease <= clock_timestamp()),
dead AS MATERIALIZED (
    SELECT d.id, d.host FROM mailroom.dispatcher d WHERE d.beat_at + d.lease < clock_timestamp() AND EXISTS (SELECT FROM reaper) FOR UPDATE SKIP LOCKED),
had AS MATERIALIZED (
    SELECT q.id, q.lease_owner, q.crashes FROM mailroom.queue q
     WHERE EXISTS (SELECT FROM dead) AND q.state = 1 AND q.lease_owner IN (SELECT id FROM dead)), -- the queue is read only if somebody is dead
suspected AS MATERIALIZED (SELECT DISTINCT lease_owner FROM had WHERE crashes >= 2),
picked AS MATERIALIZED ( -- the suspects last: as long as one is left, what the others of its dispatcher are blamed for is known
    SELECT q.id, q.crashes >= 2 OR h.lease_owner NOT IN (SELECT lease_owner FROM suspected) AS to_blame
      FROM had h JOIN mailroom.queue q ON q.id = h.id
     WHERE q.state = 1 AND q.lease_owner = h.lease_owner ORDER BY h.crashes >= 2, h.id LIMIT $2::integer FOR UPDATE OF q SKIP LOCKED),
moved AS (
    UPDATE mailroom.queue q
       SET state = 0, lease_owner = NULL, put_off_since = NULL, doubts = q.doubts + 1, crashes = least(q.crashes + p.to_blame::integer, 32000),
           place_id = CASE WHEN q.cancelled THEN 2
                           WHEN q.crashes + p.to_blame::integer >= 3 THEN $5::integer
                           WHEN q.doubts > 0 OR $3::bigint IS NULL THEN $4::integer
                           WHEN q.crashes + p.to_blame::integer = 2 THEN 1 ELSE 0 END,
           run_at = clock_timestamp() + CASE WHEN q.doubts = 0 AND q.crashes + p.to_blame::integer < 3 THEN coalesce($3::bigint, 0) ELSE 0 END -- a release looks at it
                                      * interval '1 millisecond'
      FROM picked p WHERE q.id = p.id
    RETURNING q.id, q.uid, q.posted_by, q.lease_no, q.place_id),
told AS (
    INSERT INTO mailroom.story (generation, message_id, uid, posted_by, lease_no, event, note)
    SELECT i.history_generation, m.id, m.uid, m.posted_by, m.lease_no, CASE WHEN m.place_id = $5::integer THEN 'quarantined' ELSE 'lease_lost' END,
           'the dispatcher died or was cut off; ' || CASE WHEN m.place_id = $5::integer THEN 'for the third time: quarantined for an operator'
                WHEN m.place_id IN (0, 1) THEN 'resent once, as a possible duplicate' WHEN m.place_id = 2 THEN 'cancelled meanwhile: not sent again'
                ELSE 'held for an operator' END
      FROM moved m CROSS JOIN mailroom.installation i
    RETURNING uid, event, note),
buried AS (
    DELETE FROM mailroom.dispatcher d USING dead WHERE d.id = dead.id
       AND NOT EXISTS (SELECT FROM mailroom.queue q WHERE q.state = 1 AND q.lease_owner = d.id))
SELECT count(*), count(*) FILTER (WHERE place_id > 2),
       (SELECT string_agg(format('dispatcher %s on %s', d.id, d.host), ', ' ORDER BY d.id) FROM dead d WHERE d.id IN (SELECT lease_owner FROM had)),
       (SELECT coalesce(jsonb_agg(jsonb_build_object('uid', uid, 'event', event, 'note', note)), '[]')::text FROM told) FROM moved
