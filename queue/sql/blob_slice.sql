-- $4 octets of the blob $2 of generation $1, from octet $3 on (from 0). Stored uncompressed, so that only these are read.
SELECT substring(b.bytes FROM $3::integer + 1 FOR $4::integer) FROM mailroom.blob b WHERE b.generation = $1::smallint AND b.id = $2::bigint
