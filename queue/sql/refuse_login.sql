-- Pauses a login for all owners and dispatchers. $1 fingerprint, $2 reason, $3 owner, $4 account, $5 server, $6 reply.
-- Returns one row if it was not known yet.
INSERT INTO mailroom.refused_login (fingerprint, reason, owner, account, server, reply) VALUES ($1::bytea, $2, $3, $4, $5, $6)
ON CONFLICT (fingerprint) DO NOTHING RETURNING mailroom.settings_changed('{}'::text[])
