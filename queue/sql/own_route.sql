-- Takes the limited route $2 for the dispatcher $1, if nobody alive owns it. Returns one row if it is ours.
UPDATE mailroom.place p SET dispatcher = $1::bigint
 WHERE p.id = $2::integer
   AND EXISTS (SELECT FROM mailroom.dispatcher d WHERE d.id = $1::bigint AND d.beat_at + d.lease > clock_timestamp())
   AND (p.dispatcher = $1::bigint OR NOT EXISTS (SELECT FROM mailroom.dispatcher d WHERE d.id = p.dispatcher AND d.beat_at + d.lease > clock_timestamp()))
RETURNING p.id
