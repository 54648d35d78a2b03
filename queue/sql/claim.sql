-- Takes due messages of the unsorted place, a share of each lane, for the dispatcher $1; a dispatcher whose heartbeat is over gets none.
-- $1 dispatcher, $2 $3 $4 how many urgent, normal and bulk ones. Returned in no particular order.
WITH urgent AS MATERIALIZED (
    SELECT id FROM mailroom.queue WHERE place_id = 0 AND lane = 0 AND run_at <= now() AND state = 0
     ORDER BY run_at, id LIMIT $2::integer FOR UPDATE SKIP LOCKED),
normal AS MATERIALIZED (
    SELECT id FROM mailroom.queue WHERE place_id = 0 AND lane = 1 AND run_at <= now() AND state = 0
     ORDER BY run_at, id LIMIT $3::integer FOR UPDATE SKIP LOCKED),
bulk AS MATERIALIZED (
    SELECT id FROM mailroom.queue WHERE place_id = 0 AND lane = 2 AND run_at <= now() AND state = 0
     ORDER BY run_at, id LIMIT $4::integer FOR UPDATE SKIP LOCKED),
picked AS (SELECT id FROM urgent UNION ALL SELECT id FROM normal UNION ALL SELECT id FROM bulk)
UPDATE mailroom.queue q
   SET state = 1, lease_no = q.lease_no + 1, lease_owner = $1::bigint, leased_at = clock_timestamp(),
       dated_at = coalesce(q.dated_at, clock_timestamp())
  FROM picked p, mailroom.installation i
 WHERE q.id = p.id
   AND EXISTS (SELECT FROM mailroom.dispatcher d WHERE d.id = $1::bigint AND d.beat_at + d.lease > clock_timestamp())
RETURNING q.id, q.lease_no, q.lane, q.attempts, q.doubts, q.deferrals, q.source, q.addressed, q.has_results, q.size, q.user_id, q.row_id, q.model_id,
          q.user_code, q.uid::text, q.dated_at, q.pinned::text, q.expires_at <= now() AS expired, i.settings_version, q.run_at
