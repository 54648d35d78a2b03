-- The heartbeat of dispatcher $1, which also says whether an enqueue should wake it ($2). No row: somebody reaped it; a lease that is over may be
-- renewed as long as nobody did. Who beats knows that this server is not older than what it has sent (present_database): from now on it may claim here.
UPDATE mailroom.dispatcher
   SET beating_since = CASE WHEN beat_at + lease < clock_timestamp() THEN clock_timestamp() ELSE beating_since END,
       beat_at = clock_timestamp(), server_start = pg_postmaster_start_time(), wants_wake = $2::boolean
  FROM mailroom.installation i
 WHERE id = $1::bigint
RETURNING i.name, i.settings_version,
          mailroom.another_opens_more(dispatcher)
          OR NOT mailroom.has_key(dispatcher, i.key_id)
          AND EXISTS (SELECT FROM mailroom.dispatcher d WHERE d.beat_at + d.lease > clock_timestamp() AND mailroom.has_key(d, i.key_id)) AS key_is_elsewhere
