-- Takes due messages of several ranges, each a place and a lane, for the dispatcher $1; one whose heartbeat is over gets none, nor does one that has not beaten
-- on this server since its start: it may be a copy that is older than what the dispatcher has sent.
-- $2 places, $3 lanes, $4 how many of each, $5 from which run_at on (epoch microseconds; below it are dead rows only). In no particular order.
-- $6 how often the dispatcher has handed back: a claim that it gave up and that arrives after that takes nothing.
-- What came past the hold of its batch (its producer committed later, a hold of its own ended) joins it instead.
WITH picked AS MATERIALIZED (
    SELECT due.id, due.batch FROM unnest($2::integer[], $3::smallint[], $4::integer[], $5::bigint[]) AS r(place, lane, wanted, since) CROSS JOIN LATERAL (
        SELECT q.id, q.batch FROM mailroom.queue q
         WHERE q.place_id = r.place AND q.lane = r.lane AND q.run_at >= timestamptz 'epoch' + r.since * interval '1 microsecond' AND q.run_at <= now() AND q.state = 0
         ORDER BY q.run_at, q.id + 0 LIMIT r.wanted FOR UPDATE SKIP LOCKED) due),
late AS (
    UPDATE mailroom.queue q SET place_id = (SELECT h.place_id FROM mailroom.held_batch h WHERE h.batch = q.batch), run_at = clock_timestamp(), put_off_since = NULL
     WHERE q.id = ANY (ARRAY(SELECT p.id FROM picked p JOIN mailroom.held_batch h ON h.batch = p.batch)) -- none is looked up where none is held
    RETURNING q.id, q.uid, q.posted_by, q.lease_no),
told AS (
    INSERT INTO mailroom.story (generation, message_id, uid, posted_by, lease_no, event, note)
    SELECT i.history_generation, l.id, l.uid, l.posted_by, l.lease_no, 'held', 'its batch is held' FROM late l CROSS JOIN mailroom.installation i),
alive AS MATERIALIZED ( -- locked until the end, so that nobody buries it or hands back what it has meanwhile; if nothing is due, nothing is locked
    SELECT FROM mailroom.dispatcher d WHERE d.id = $1::bigint AND d.beat_at + d.lease > clock_timestamp() AND d.server_start = pg_postmaster_start_time() AND d.handed_back = $6::integer
       AND EXISTS (SELECT FROM picked) FOR KEY SHARE OF d)
UPDATE mailroom.queue q
   SET state = 1, lease_no = q.lease_no + 1, lease_owner = $1::bigint, leased_at = clock_timestamp(),
       dated_at = coalesce(q.dated_at, clock_timestamp())
  FROM mailroom.installation i
 WHERE q.id = ANY (ARRAY(SELECT p.id FROM picked p WHERE NOT EXISTS (SELECT FROM mailroom.held_batch h WHERE h.batch = p.batch)))
   AND EXISTS (SELECT FROM alive)
RETURNING q.id, q.lease_no, q.lane, q.attempts, q.doubts, q.deferrals, q.source, q.addressed, q.has_results, q.size, q.user_id, q.row_id, q.model_id,
          q.user_code, q.uid::text, q.dated_at, q.pinned::text, ceil(extract(epoch FROM q.expires_at - now()) * 1000)::bigint AS expires_in_ms, i.settings_version, q.run_at, q.place_id, q.recipients, q.generation, q.leased_at, q.enqueued_at,
          floor(extract(epoch FROM now() - q.put_off_since) * 1000)::bigint AS put_off_for_ms
