-- The octets of the blobs $2 (ids) of generation $1, whole.
SELECT b.id, b.bytes FROM mailroom.blob b WHERE b.generation = $1::smallint AND b.id = ANY ($2::bigint[])
