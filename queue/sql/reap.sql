-- Takes up to $2 messages from dispatchers whose lease is over: what they did with them is unknown, so each becomes in doubt.
-- The first doubt is resent after $3 milliseconds where that is not NULL; every other waits in the place $4 for an operator.
-- Nobody reaps ($1) before it has itself beaten for one whole lease without interruption, nor within one lease after the server's start, nor after
-- its own heartbeat is over: an outage of the database is not the death of all others.
WITH reaper AS MATERIALIZED (
    SELECT FROM mailroom.dispatcher d
     WHERE d.id = $1::bigint AND d.beat_at + d.lease > clock_timestamp() AND d.beating_since + d.lease <= clock_timestamp() AND pg_postmaster_start_time() + d.lease <= clock_timestamp()),
dead AS MATERIALIZED (
    SELECT d.id FROM mailroom.dispatcher d WHERE d.beat_at + d.lease < clock_timestamp() AND EXISTS (SELECT FROM reaper) FOR UPDATE SKIP LOCKED),
picked AS MATERIALIZED (
    SELECT q.id FROM mailroom.queue q WHERE q.state = 1 AND q.lease_owner IN (SELECT id FROM dead) LIMIT $2::integer FOR UPDATE SKIP LOCKED),
moved AS (
    UPDATE mailroom.queue q
       SET state = 0, lease_owner = NULL, doubts = q.doubts + 1,
           place_id = CASE WHEN q.doubts = 0 AND $3::bigint IS NOT NULL THEN 0 ELSE $4::integer END,
           run_at = clock_timestamp() + CASE WHEN q.doubts = 0 THEN coalesce($3::bigint, 0) ELSE 0 END * interval '1 millisecond'
      FROM picked p WHERE q.id = p.id
    RETURNING q.id, q.lease_no, q.place_id),
told AS (
    INSERT INTO mailroom.story (message_id, lease_no, event, note)
    SELECT id, lease_no, 'lease_lost', CASE WHEN place_id = 0 THEN 'the dispatcher died or was cut off; resent once, as a possible duplicate'
                                            ELSE 'the dispatcher died or was cut off; held for an operator' END FROM moved),
buried AS (
    DELETE FROM mailroom.dispatcher d USING dead WHERE d.id = dead.id
       AND NOT EXISTS (SELECT FROM mailroom.queue q WHERE q.state = 1 AND q.lease_owner = d.id))
SELECT count(*), count(*) FILTER (WHERE place_id <> 0) FROM moved
