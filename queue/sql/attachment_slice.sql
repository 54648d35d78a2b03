-- $4 octets of attachment $2 of message $1, from octet $3 on (from 0). Stored uncompressed, so that only these are read.
SELECT substring(a.bytes FROM $3::integer + 1 FOR $4::integer)
  FROM mailroom.attachment a WHERE a.message_id = $1::bigint AND a.position = $2::smallint
