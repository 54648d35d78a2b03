-- Whether dispatcher $1 with the token $2 is listed: else others took its messages, or the database is another or an older one.
SELECT EXISTS (SELECT FROM mailroom.dispatcher WHERE id = $1::bigint AND token = $2::uuid)
