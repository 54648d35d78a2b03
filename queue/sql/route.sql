-- The place of a route, made when it is new. $1 key, $2 the account for people, $3 whose settings concern it, $4 whether it has limits that count.
INSERT INTO mailroom.place AS p (key, kind, subject, owners, self_releasing, limited)
VALUES ($1, 'route', $2, ARRAY[$3], true, $4::boolean)
ON CONFLICT (key) DO UPDATE SET limited = excluded.limited, owners = CASE WHEN $3 = ANY (p.owners) THEN p.owners ELSE p.owners || $3 END
RETURNING id
