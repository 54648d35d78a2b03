-- Pauses a login for all owners and dispatchers. $1 fingerprint, $2 reason, $3 owner, $4 server, $5 reply. Returns one row if it was not known yet.
INSERT INTO mailroom.refused_login (fingerprint, reason, owner, server, reply) VALUES ($1::bytea, $2, $3, $4, $5)
ON CONFLICT (fingerprint) DO NOTHING RETURNING mailroom.settings_changed('{}'::text[])
