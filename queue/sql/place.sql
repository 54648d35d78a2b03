-- The place of a hold, made when it is new. $1 key, $2 reason, $3 subject, $4 remedy, $5 owners, $6 self-releasing.
INSERT INTO mailroom.place (key, kind, reason, subject, remedy, owners, self_releasing)
VALUES ($1, 'hold', $2, $3, $4, (SELECT coalesce(array_agg(o), '{}') FROM jsonb_array_elements_text($5::jsonb) o), $6::boolean)
ON CONFLICT (key) DO UPDATE SET subject = excluded.subject, remedy = excluded.remedy, owners = excluded.owners
RETURNING id
