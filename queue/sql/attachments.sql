-- The attachments of the messages $1 (ids), in order; the bytes of those up to $2 octets come along.
SELECT a.message_id, a.name, a.media_type, a.content_id, a.size, CASE WHEN a.size <= $2::integer THEN a.bytes END AS bytes
  FROM mailroom.attachment a WHERE a.message_id = ANY ($1::bigint[]) ORDER BY a.message_id, a.position
