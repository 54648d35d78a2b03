-- The attachments of the messages $2 (ids) of generation $1, in order, without their octets.
SELECT a.message_id, a.name, a.media_type, a.content_id, a.size, a.blob_id
  FROM mailroom.attachment a WHERE a.generation = $1::smallint AND a.message_id = ANY ($2::bigint[]) ORDER BY a.message_id, a.position
