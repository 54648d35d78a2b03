-- Stops a pair of account and From. $1 mode, $2 account or server, $3 From, $4 reply. Returns one row if it was not known yet.
INSERT INTO mailroom.refused_sender (mode, account, from_address, reply) VALUES ($1, $2, lower($3), $4)
ON CONFLICT (mode, account, from_address) DO NOTHING RETURNING mailroom.settings_changed('{}'::text[])
