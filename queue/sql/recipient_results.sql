-- What is known of single recipients of the messages $1 (ids).
SELECT r.message_id, r.position, r.state FROM mailroom.recipient_result r WHERE r.message_id = ANY ($1::bigint[])
