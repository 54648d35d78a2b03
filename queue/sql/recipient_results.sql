-- What is known of single recipients of the messages $2 (ids) of generation $1.
SELECT r.message_id, r.position, r.state FROM mailroom.recipient_result r WHERE r.generation = $1::smallint AND r.message_id = ANY ($2::bigint[])
