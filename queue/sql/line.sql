-- Where the live message $1 (uid) stands in line, as JSON: how many due ones are before it, in its own lane and in more urgent ones of its place
-- (counted up to 100,000), and how many dispatchers there are. No row: it is not live.
SELECT jsonb_build_object(
    'place', d.route, 'lane', d.lane, 'due', d.state = 'ready' OR d.reason = 'account_blocked',
    'ahead', (SELECT count(*) FROM (SELECT FROM mailroom.queue x WHERE x.place_id = q.place_id AND x.lane = q.lane AND (x.run_at, x.id + 0) < (q.run_at, q.id) AND x.state = 0
                                     LIMIT 100000) a),
    'more_urgent', (SELECT count(*) FROM (SELECT FROM mailroom.queue x WHERE x.place_id = q.place_id AND x.lane < q.lane AND x.run_at <= clock_timestamp() AND x.state = 0
                                           LIMIT 100000) u),
    'dispatchers', (SELECT count(*) FROM mailroom.dispatcher w WHERE w.beat_at + w.lease > clock_timestamp()))::text
  FROM mailroom.content c JOIN mailroom.queue q ON q.id = c.id JOIN mailroom.depth d ON d.id = q.id
 WHERE c.uid = $1::uuid
